//! Freezes: who of the session is frozen, told to the flow whenever that changes.

use super::{Driver, Halt};
use crate::{db, plan::flow::Input};

impl Driver {
    /// Looks who is frozen; what the flow has to be told, if that is not what it knows.
    pub(super) async fn frozen(&mut self) -> Result<Option<Input>, Halt> {
        let session = self.journal.session();
        let frozen =
            self.journal.read(async |connection| db::freeze::of_session(connection, &session).await).await?;
        if frozen == self.frozen {
            return Ok(None);
        }
        let members = frozen.iter().filter_map(|component| self.ordinals.get(component).copied()).collect();
        self.frozen = frozen;
        Ok(Some(Input::Frozen(members)))
    }
}
