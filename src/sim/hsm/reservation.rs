//! Reservations: a pair of keys for a component, for minutes (a service's) or until released (an administrator's).

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Extract;
use axum::response::Response;
use axum::routing::post;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::lock::{Failure, Reason, Targets};
use super::{REAP_INTERVAL, Record, decoded};
use crate::sim::Shared;
use crate::sim::clock::Moment;
use crate::sim::http::{Answer, Refusal, bad, json};
use crate::sim::layout::normalised;
use crate::sim::world::{Event, NodeNo, World};

/// The longest reservation of a service, in minutes.
const LONGEST_MINUTES: u64 = 15;

/// Who holds a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A service, by its keys.
    Service { reservation_key: String, deputy_key: String },
    /// An administrator, by their keys; it does not expire.
    Admin { reservation_key: String, deputy_key: String },
    /// PCS, for a transition, which it renews every minute.
    Transition(usize),
}

/// A reservation of one component.
#[derive(Clone, Debug)]
pub struct Reservation {
    pub holder: Holder,
    pub created: Moment,
    /// When it may be removed; [`Moment::NEVER`] if it does not expire.
    pub expires: Moment,
}

impl Reservation {
    /// When it ends, as HSM writes it; absent for an administrator's.
    pub fn expiry(&self, world: &World) -> Option<String> {
        match self.holder {
            Holder::Admin { .. } => None,
            Holder::Service { .. } => Some(world.clock.seconds(self.expires)),
            Holder::Transition(_) => Some(world.clock.seconds(world.now.after(Duration::from_secs(60)))),
        }
    }

    /// Whether `key` lets somebody act for the holder.
    pub fn admits(&self, key: &str) -> bool {
        match &self.holder {
            Holder::Service { deputy_key, .. } | Holder::Admin { deputy_key, .. } => deputy_key == key,
            Holder::Transition(_) => false,
        }
    }

    fn is_held_with(&self, key: &str) -> bool {
        match &self.holder {
            Holder::Service { reservation_key, .. } | Holder::Admin { reservation_key, .. } => {
                reservation_key == key
            }
            Holder::Transition(_) => false,
        }
    }
}

impl World {
    /// Removes what has expired. HSM looks only now and then, so that a reservation may outlive its time.
    pub fn reap_reservations(&mut self) {
        let now = self.now;
        for record in &mut self.hsm.records {
            record.reservation.take_if(|held| held.expires <= now);
        }
        self.schedule(REAP_INTERVAL, Event::ReapReservations);
    }
}

/// The routes.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/locks/service/reservations", post(async |sim, body| reserve(&sim, &body, false)))
        .route("/locks/service/reservations/renew", post(renew))
        .route("/locks/service/reservations/release", post(release))
        .route("/locks/service/reservations/check", post(check))
        .route("/locks/reservations", post(async |sim, body| reserve(&sim, &body, true)))
        .route("/locks/reservations/release", post(release))
        .route("/locks/reservations/remove", post(remove))
}

fn may_reserve(record: &Record, admin: bool) -> Result<(), Reason> {
    if record.reservations_disabled {
        Err(Reason::Disabled)
    } else if record.locked && !admin {
        Err(Reason::Locked)
    } else if !record.locked && admin {
        Err(Reason::Unlocked)
    } else if record.reservation.is_some() {
        Err(Reason::Reserved)
    } else {
        Ok(())
    }
}

fn minutes(value: Option<u64>) -> Result<Duration, Refusal> {
    match value {
        None | Some(0) => Err(bad("ReservationDuration must be greater than 0")),
        Some(minutes) if minutes > LONGEST_MINUTES => Err(bad("Invalid Reservation Duration")),
        Some(minutes) => Ok(Duration::from_secs(60 * minutes)),
    }
}

fn reserve(Extract(sim): &Extract<Shared>, body: &Bytes, admin: bool) -> Answer {
    let object: Map<String, Value> = decoded(body)?;
    sim.with(|world| {
        let expires = if admin {
            Moment::NEVER
        } else {
            world.now.after(minutes(object.get("ReservationDuration").and_then(Value::as_u64))?)
        };
        let targets = Targets::read(world, &object)?;
        let (fine, failures) = targets.sort(world, |record| may_reserve(record, admin))?;
        let mut success = Vec::with_capacity(fine.len());
        for no in fine {
            let xname = &world.nodes[no].xname;
            let reservation_key = format!("{xname}:rk:{}", Uuid::new_v4());
            let deputy_key = format!("{xname}:dk:{}", Uuid::new_v4());
            let mut entry = json!({"ID": xname, "DeputyKey": deputy_key, "ReservationKey": reservation_key});
            let holder = if admin {
                Holder::Admin { reservation_key, deputy_key }
            } else {
                entry["ExpirationTime"] = world.clock.seconds(expires).into();
                Holder::Service { reservation_key, deputy_key }
            };
            world.hsm.records[no].reservation = Some(Reservation { holder, created: world.now, expires });
            success.push(entry);
        }
        Ok(json(&json!({ "Success": success, "Failure": failures })))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    #[serde(default, alias = "DeputyKeys")]
    reservation_keys: Vec<Key>,
    #[serde(default)]
    processing_model: String,
    reservation_duration: Option<u64>,
}

#[derive(Deserialize)]
struct Key {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Key")]
    key: String,
}

/// The components whose keys fit, and the others; all or nothing if the request is rigid.
fn held(world: &World, keys: &Keys) -> Result<(Vec<NodeNo>, Vec<Failure>), Refusal> {
    let (mut fine, mut failures) = (Vec::new(), Vec::new());
    for Key { id, key } in &keys.reservation_keys {
        let no = world.names.get(&normalised(id)).copied();
        let fits = |no: &NodeNo| {
            world.hsm.records[*no].reservation.as_ref().is_some_and(|held| held.is_held_with(key))
        };
        match no.filter(fits) {
            Some(no) => fine.push(no),
            None if keys.processing_model.eq_ignore_ascii_case("flexible") => {
                failures.push(Failure { id: id.clone(), reason: Reason::NotFound });
            }
            None => return Err(bad("Component not found")),
        }
    }
    if fine.is_empty() {
        return Err(bad("Component not found"));
    }
    Ok((fine, failures))
}

fn tally(world: &World, fine: &[NodeNo], failures: &[Failure]) -> Response {
    let ids: Vec<&str> = fine.iter().map(|&no| world.nodes[no].xname.as_str()).collect();
    json(&json!({
        "Counts": {"Total": ids.len() + failures.len(), "Success": ids.len(), "Failure": failures.len()},
        "Success": {"ComponentIDs": ids},
        "Failure": failures,
    }))
}

async fn renew(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let keys: Keys = decoded(&body)?;
    sim.with(|world| {
        let expires = world.now.after(minutes(keys.reservation_duration)?);
        let (fine, failures) = held(world, &keys)?;
        for &no in &fine {
            if let Some(reservation) = &mut world.hsm.records[no].reservation {
                reservation.expires = expires;
            }
        }
        Ok(tally(world, &fine, &failures))
    })
}

async fn release(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let keys: Keys = decoded(&body)?;
    sim.with(|world| {
        let (fine, failures) = held(world, &keys)?;
        fine.iter().for_each(|&no| world.hsm.records[no].reservation = None);
        Ok(tally(world, &fine, &failures))
    })
}

async fn remove(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let object: Map<String, Value> = decoded(&body)?;
    sim.with(|world| {
        let (fine, failures) = Targets::read(world, &object)?.sort(world, |_| Ok(()))?;
        fine.iter().for_each(|&no| world.hsm.records[no].reservation = None);
        Ok(tally(world, &fine, &failures))
    })
}

async fn check(Extract(sim): Extract<Shared>, body: Bytes) -> Answer {
    let keys: Keys = decoded(&body)?;
    sim.with(|world| {
        let (mut success, mut failure) = (Vec::new(), Vec::new());
        for Key { id, key } in &keys.reservation_keys {
            let no = world.names.get(&normalised(id));
            let reservation = no.and_then(|&no| world.hsm.records[no].reservation.as_ref());
            match reservation.filter(|held| held.admits(key)) {
                Some(held) => success.push(json!({
                    "ID": id, "DeputyKey": key, "CreationTime": world.clock.seconds(held.created),
                    "ExpirationTime": held.expiry(world),
                })),
                None => failure.push(Failure { id: id.clone(), reason: Reason::NotFound }),
            }
        }
        Ok(json(&json!({ "Success": success, "Failure": failure })))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::clock::Clock;
    use crate::sim::settings::Settings;

    #[test]
    fn a_reservation_outlives_its_time_until_it_is_reaped() {
        let mut world = World::new(Settings { nodes: 2, ..Settings::default() }, Clock::start());
        let at = |seconds| Moment::START.after(Duration::from_secs(seconds));
        for (record, seconds) in world.hsm.records.iter_mut().zip([61, 3600]) {
            let holder = Holder::Service { reservation_key: "rk".into(), deputy_key: "dk".into() };
            record.reservation = Some(Reservation { holder, created: at(1), expires: at(seconds) });
        }
        world.advance(at(80));
        assert!(world.hsm.records[0].reservation.is_some());
        world.advance(at(91));
        assert!(world.hsm.records[0].reservation.is_none());
        assert!(world.hsm.records[1].reservation.is_some());
    }

    #[test]
    fn only_the_deputy_key_lets_others_act() {
        let holder = Holder::Service { reservation_key: "rk".into(), deputy_key: "dk".into() };
        let held = Reservation { holder, created: Moment::START, expires: Moment::NEVER };
        assert!(held.admits("dk") && !held.admits("rk"));
        assert!(held.is_held_with("rk") && !held.is_held_with("dk"));
    }
}
