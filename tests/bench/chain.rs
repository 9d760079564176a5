//! From a node's report to what the session that waits for it does next.
//!
//! A session of boot sets of one node each, ordered one after another: what a boot set waits for is the report of the
//! node before it. The report is sent here, as soon as the node was ordered on and long before it would speak itself.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, json};

use crate::{
    house::{House, TEMPLATE},
    times::Times,
};

/// Boot sets, and one report less.
const BOOT_SETS: usize = 13;
/// How long one link may take; the first one waits until everybody is off.
const LINK_TIMEOUT: Duration = Duration::from_secs(60);

/// Milliseconds from before the report is sent until the intent of the next call was written.
pub async fn measure(house: &House) -> Times {
    let xnames: Vec<String> =
        sqlx::query_scalar("select xname from component order by component_id limit $1")
            .bind(BOOT_SETS as i64)
            .fetch_all(&house.pool)
            .await
            .unwrap();
    put_template(house, &xnames).await;
    house.create("chain", "chain").await;
    let mut times = Vec::with_capacity(BOOT_SETS);
    for (nth, xname) in xnames[..BOOT_SETS - 1].iter().enumerate() {
        let mut token = None;
        house
            .until(LINK_TIMEOUT, async || {
                token = ordered_on(house, nth).await;
                token.is_some()
            })
            .await;
        let body = json!({"id": xname, "actual_state": {"bss_token": token}});
        let url = format!("{}/v2/components/{xname}", house.bosun_url);
        let sent = Utc::now();
        let answer = house.http.patch(url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        house.until(LINK_TIMEOUT, async || intended(house, nth + 1).await.is_some()).await;
        let acted = intended(house, nth + 1).await.unwrap();
        times.push((acted - sent).as_seconds_f64() * 1_000.0);
    }
    Times::of(times)
}

fn boot_set(nth: usize) -> String {
    format!("set{nth:02}")
}

async fn put_template(house: &House, xnames: &[String]) {
    let mut template = house.template(TEMPLATE).await;
    let model = template["boot_sets"]["compute"].clone();
    let boot_sets = xnames.iter().enumerate().map(|(nth, xname)| {
        let mut set = model.clone();
        let fields = set.as_object_mut().unwrap();
        fields.remove("node_roles_groups");
        fields.insert("node_list".to_owned(), json!([xname]));
        fields.insert("boot_ordinal".to_owned(), json!(nth + 1));
        (boot_set(nth), set)
    });
    template["boot_sets"] = boot_sets.collect::<Map<_, _>>().into();
    house.put_template("chain", &template).await;
}

/// The token of a boot set's boot parameters, once PCS has taken the order to power it on.
async fn ordered_on(house: &House, nth: usize) -> Option<String> {
    sqlx::query_scalar(
        "select f.token
           from session s
           join step t on t.session_id = s.session_id and t.name = $1 || '/set_boot_parameters'
           join effect f on f.session_id = s.session_id and f.step_no = t.step_no
           join step u on u.session_id = s.session_id and u.name = $1 || '/power_on'
           join effect g on g.session_id = s.session_id and g.step_no = u.step_no
          where s.name = 'chain' and f.token is not null and g.state <> 'intended'",
    )
    .bind(boot_set(nth))
    .fetch_optional(&house.pool)
    .await
    .unwrap()
}

/// When the intent to power a boot set on was written.
async fn intended(house: &House, nth: usize) -> Option<DateTime<Utc>> {
    sqlx::query_scalar(
        "select f.intended_at
           from session s
           join step t on t.session_id = s.session_id and t.name = $1 || '/power_on'
           join effect f on f.session_id = s.session_id and f.step_no = t.step_no
          where s.name = 'chain' order by f.effect_no limit 1",
    )
    .bind(boot_set(nth))
    .fetch_optional(&house.pool)
    .await
    .unwrap()
}
