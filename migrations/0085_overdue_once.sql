-- Of what takes too long in a session people are told once, however many replicas look.

delete from notification n using notification earlier
 where n.kind = 'overdue' and earlier.kind = 'overdue' and earlier.session_id = n.session_id
   and earlier.notification_id < n.notification_id;
create unique index notification_overdue on notification (session_id) where kind = 'overdue';
