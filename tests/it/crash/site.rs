//! The same with steps of a site's own around the reboot: a webhook that is called and asked, and jobs.

use super::{NODES, Point, SPREAD, assert_hit, dry_run_as, survive_as};
use crate::support::{app::Wish, lane, proxy::Cut, webhook::Webhook};

fn wish(webhook: &Webhook) -> Wish {
    let text = format!(
        "
steps:
  - {{name: inspect, verb: inspect, goal: reboot}}
  - name: drain
    verb: http
    call: {{url: '{0}/drain'}}
    wait: {{method: POST, url: '{0}/drained'}}
    per: slice
    needs: [inspect]
  - {{name: note, verb: job, command: [cat], per: session, needs: [drain]}}
  - {{name: power_off, verb: power_off, needs: [note], when: [powers_off]}}
  - {{name: set_boot_parameters, verb: set_boot_parameters, needs: [power_off], when: [powers_on]}}
  - {{name: power_on, verb: power_on, needs: [set_boot_parameters], when: [powers_on]}}
  - {{name: await_boot, verb: await_boot, needs: [power_on], when: [powers_on]}}
  - {{name: resume, verb: job, command: [cat], disturbs: false, needs: [await_boot]}}
",
        webhook.url
    );
    Wish { workflow: Some(text), ..Wish::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_may_die_at_every_call_to_its_store_between_a_sites_own_steps() {
    let webhook = Webhook::start([]).await;
    let wish = wish(&webhook);
    let machine = lane::settings(NODES);
    let (calls, _) = dry_run_as(&machine, &wish).await;
    let points = (1..=calls + SPREAD).flat_map(|n| [Cut::Before(n), Cut::After(n)]).map(Point::Store);
    let unhit =
        lane::run_all(&machine, points, async |app, point, name| survive_as(app, point, name, &wish).await)
            .await;
    assert_hit(2 * (calls + SPREAD), &unhit);
    // However often a call was made, everybody was named in it, and calls that are not the same have keys of their own.
    for told in webhook.told_at("/drain") {
        assert_eq!(told.components().len(), NODES, "{told:?}");
        assert!(told.key.starts_with("bosun-"), "{told:?}");
    }
}
