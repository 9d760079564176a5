//! Groups, partitions and memberships.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State as Extract};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{delete, get};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Filter, Group, Hsm, decoded, deleted, silence};
use crate::sim::Shared;
use crate::sim::http::{Answer, Refusal, bad, json, json_with, missing, query, refuse};
use crate::sim::layout::normalised;
use crate::sim::world::{NodeNo, World};

/// The routes.
pub fn routes() -> Router<Shared> {
    let mut router =
        Router::new().route("/memberships", get(memberships)).route("/memberships/{xname}", get(membership));
    for set in ["groups", "partitions"] {
        let names = if set == "groups" { "labels" } else { "names" };
        router = router
            .route(&format!("/{set}"), get(list).post(create))
            .route(&format!("/{set}/{names}"), get(labels))
            .route(&format!("/{set}/{{label}}"), get(one).patch(describe).delete(remove))
            .route(&format!("/{set}/{{label}}/members"), get(members).post(join))
            .route(&format!("/{set}/{{label}}/members/{{xname}}"), delete(leave));
    }
    router
}

/// Groups and partitions have the same calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    Groups,
    Partitions,
}

impl Set {
    fn of(uri: &axum::http::Uri) -> Self {
        if uri.path().starts_with("/partitions") { Self::Partitions } else { Self::Groups }
    }

    fn all(self, hsm: &Hsm) -> &BTreeMap<String, Group> {
        match self {
            Self::Groups => &hsm.groups,
            Self::Partitions => &hsm.partitions,
        }
    }

    fn all_mut(self, hsm: &mut Hsm) -> &mut BTreeMap<String, Group> {
        match self {
            Self::Groups => &mut hsm.groups,
            Self::Partitions => &mut hsm.partitions,
        }
    }

    fn missing(self, label: &str) -> Refusal {
        let what = if self == Self::Groups { "group" } else { "partition" };
        missing(format!("No such {what}: {label}"))
    }

    fn admits(self, label: &str) -> bool {
        match self {
            Self::Groups => {
                let fine = |c: char| c.is_ascii_alphanumeric() || ":._-".contains(c);
                !label.is_empty() && label.chars().all(fine)
            }
            Self::Partitions => label.strip_prefix('p').is_some_and(|rest| {
                let number = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
                rest.split('.').count() <= 2 && rest.split('.').all(number)
            }),
        }
    }
}

#[derive(Serialize)]
struct GroupView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    description: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
    #[serde(rename = "exclusiveGroup", skip_serializing_if = "Option::is_none")]
    exclusive_group: Option<&'a str>,
    members: Members<'a>,
}

#[derive(Serialize)]
struct Members<'a> {
    ids: Vec<&'a str>,
}

fn view<'a>(world: &'a World, set: Set, label: &'a str, group: &'a Group) -> GroupView<'a> {
    GroupView {
        label: (set == Set::Groups).then_some(label),
        name: (set == Set::Partitions).then_some(label),
        description: &group.description,
        tags: &group.tags,
        exclusive_group: group.exclusive_group.as_deref(),
        members: Members { ids: group.members.iter().map(|&no| world.nodes[no].xname.as_str()).collect() },
    }
}

async fn list(Extract(sim): Extract<Shared>, uri: axum::http::Uri, RawQuery(raw): RawQuery) -> Response {
    let set = Set::of(&uri);
    let asked: Vec<String> = query(raw.as_deref())
        .into_iter()
        .filter(|(key, _)| matches!(key.as_str(), "group" | "partition"))
        .map(|(_, value)| value.to_lowercase())
        .collect();
    sim.with(|world| {
        let groups =
            set.all(&world.hsm).iter().filter(|(label, _)| asked.is_empty() || asked.contains(label));
        let views: Vec<_> = groups.map(|(label, group)| view(world, set, label, group)).collect();
        json(&views)
    })
}

async fn labels(Extract(sim): Extract<Shared>, uri: axum::http::Uri) -> Response {
    sim.with(|world| json(&Set::of(&uri).all(&world.hsm).keys().collect::<Vec<_>>()))
}

async fn one(Extract(sim): Extract<Shared>, uri: axum::http::Uri, Path(label): Path<String>) -> Answer {
    let (set, label) = (Set::of(&uri), label.to_lowercase());
    sim.with(|world| match set.all(&world.hsm).get(&label) {
        Some(group) => Ok(json(&view(world, set, &label, group))),
        None => Err(set.missing(&label)),
    })
}

async fn members(
    Extract(sim): Extract<Shared>,
    uri: axum::http::Uri,
    Path(label): Path<String>,
    RawQuery(raw): RawQuery,
) -> Answer {
    let (set, label) = (Set::of(&uri), label.to_lowercase());
    let partition =
        query(raw.as_deref()).into_iter().find(|(key, _)| key == "partition").map(|(_, value)| value);
    sim.with(|world| {
        let Some(group) = set.all(&world.hsm).get(&label) else { return Err(set.missing(&label)) };
        let partitions = &world.hsm.partitions;
        let within = |no: &NodeNo| match partition.as_deref() {
            None => true,
            Some("NULL") => !partitions.values().any(|partition| partition.members.contains(no)),
            Some(name) => partitions.get(name).is_some_and(|partition| partition.members.contains(no)),
        };
        let ids = group.members.iter().filter(|no| within(no));
        Ok(json(&Members { ids: ids.map(|&no| world.nodes[no].xname.as_str()).collect() }))
    })
}

#[derive(Deserialize)]
struct NewGroup {
    #[serde(alias = "name")]
    label: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(rename = "exclusiveGroup")]
    exclusive_group: Option<String>,
    members: Option<NewMembers>,
}

#[derive(Deserialize)]
struct NewMembers {
    #[serde(default)]
    ids: Vec<String>,
}

async fn create(Extract(sim): Extract<Shared>, uri: axum::http::Uri, body: Bytes) -> Answer {
    let set = Set::of(&uri);
    let new: NewGroup = decoded(&body)?;
    let label = new.label.to_lowercase();
    if !set.admits(&label) {
        return Err(bad("group or partition field has invalid characters"));
    }
    sim.with(|world| {
        if set.all(&world.hsm).contains_key(&label) {
            return Err(conflict("group that has the same name."));
        }
        let ids = new.members.map(|members| members.ids).unwrap_or_default();
        let known = |id: &String| {
            world.names.get(&normalised(id)).copied().filter(|&no| world.hsm.records[no].present)
        };
        let Some(members) = ids.iter().map(known).collect::<Option<Vec<_>>>() else {
            return Err(bad("linked component does not exist"));
        };
        if members.iter().any(|&no| taken(&world.hsm, set, new.exclusive_group.as_deref(), no)) {
            return Err(conflict("member in another group."));
        }
        let group = Group {
            description: new.description,
            tags: new.tags,
            exclusive_group: new.exclusive_group,
            members: members.into_iter().collect(),
        };
        let name = if set == Set::Groups { "groups" } else { "partitions" };
        let place = format!("/hsm/v2/{name}/{label}");
        set.all_mut(&mut world.hsm).insert(label, group);
        let mut response = json_with(StatusCode::CREATED, &json!([{ "URI": place }]));
        if let Ok(place) = HeaderValue::from_str(&place) {
            response.headers_mut().insert(LOCATION, place);
        }
        Ok(response)
    })
}

fn conflict(with: &str) -> Refusal {
    refuse(StatusCode::CONFLICT, format!("operation would conflict with an existing {with}"))
}

/// Whether a node is already elsewhere: in any partition, or in a group of the same exclusive group.
fn taken(hsm: &Hsm, set: Set, exclusive: Option<&str>, no: NodeNo) -> bool {
    match set {
        Set::Partitions => hsm.partitions.values().any(|partition| partition.members.contains(&no)),
        Set::Groups => exclusive.is_some_and(|exclusive| {
            let same = |group: &&Group| group.exclusive_group.as_deref() == Some(exclusive);
            hsm.groups.values().filter(same).any(|group| group.members.contains(&no))
        }),
    }
}

async fn describe(
    Extract(sim): Extract<Shared>,
    uri: axum::http::Uri,
    Path(label): Path<String>,
    body: Bytes,
) -> Answer {
    #[derive(Deserialize)]
    struct Words {
        description: Option<String>,
        tags: Option<Vec<String>>,
    }
    let (set, label) = (Set::of(&uri), label.to_lowercase());
    let words: Words = decoded(&body)?;
    sim.with(|world| {
        let Some(group) = set.all_mut(&mut world.hsm).get_mut(&label) else {
            return Err(set.missing(&label));
        };
        group.description = words.description.unwrap_or_else(|| std::mem::take(&mut group.description));
        group.tags = words.tags.unwrap_or_else(|| std::mem::take(&mut group.tags));
        Ok(silence())
    })
}

async fn remove(Extract(sim): Extract<Shared>, uri: axum::http::Uri, Path(label): Path<String>) -> Answer {
    let (set, label) = (Set::of(&uri), label.to_lowercase());
    sim.with(|world| match set.all_mut(&mut world.hsm).remove(&label) {
        Some(_) => Ok(deleted()),
        None => Err(set.missing(&label)),
    })
}

async fn join(
    Extract(sim): Extract<Shared>,
    uri: axum::http::Uri,
    Path(label): Path<String>,
    body: Bytes,
) -> Answer {
    #[derive(Deserialize)]
    struct Member {
        id: String,
    }
    let (set, label) = (Set::of(&uri), label.to_lowercase());
    let member: Member = decoded(&body)?;
    sim.with(|world| {
        let id = normalised(&member.id);
        let Some(group) = set.all(&world.hsm).get(&label) else { return Err(set.missing(&label)) };
        let Some(no) = world.names.get(&id).copied().filter(|&no| world.hsm.records[no].present) else {
            return Err(bad("linked component does not exist"));
        };
        if group.members.contains(&no) || taken(&world.hsm, set, group.exclusive_group.as_deref(), no) {
            return Err(conflict("member."));
        }
        set.all_mut(&mut world.hsm).entry(label).or_default().members.insert(no);
        let created = json!([{ "URI": format!("/hsm/v2{}/{id}", uri.path()) }]);
        Ok(json_with(StatusCode::CREATED, &created))
    })
}

async fn leave(
    Extract(sim): Extract<Shared>,
    uri: axum::http::Uri,
    Path((label, xname)): Path<(String, String)>,
) -> Answer {
    let (set, label) = (Set::of(&uri), label.to_lowercase());
    sim.with(|world| {
        let no = world.names.get(&normalised(&xname)).copied();
        let Some(group) = set.all_mut(&mut world.hsm).get_mut(&label) else {
            return Err(set.missing(&label));
        };
        if no.is_some_and(|no| group.members.remove(&no)) {
            Ok(deleted())
        } else {
            Err(missing("no such member."))
        }
    })
}

#[derive(Serialize)]
struct Membership<'a> {
    id: &'a str,
    #[serde(rename = "groupLabels")]
    group_labels: Vec<&'a str>,
    #[serde(rename = "partitionName")]
    partition_name: &'a str,
}

async fn membership(Extract(sim): Extract<Shared>, Path(xname): Path<String>) -> Answer {
    sim.with(|world| {
        let Some(&no) = world.names.get(&normalised(&xname)) else {
            return Err(missing(format!("No such xname: {xname}")));
        };
        let within = |groups: &'_ BTreeMap<String, Group>| -> Vec<String> {
            let mine = groups.iter().filter(|(_, group)| group.members.contains(&no));
            mine.map(|(label, _)| label.clone()).collect()
        };
        let partition = within(&world.hsm.partitions).pop().unwrap_or_default();
        Ok(json(&json!({
            "id": world.nodes[no].xname, "groupLabels": within(&world.hsm.groups), "partitionName": partition,
        })))
    })
}

async fn memberships(Extract(sim): Extract<Shared>, RawQuery(raw): RawQuery) -> Answer {
    let filter = Filter::read(query(raw.as_deref()))?;
    sim.with(|world| {
        let mut labels: Vec<Vec<&str>> = vec![Vec::new(); world.nodes.len()];
        for (label, group) in &world.hsm.groups {
            group.members.iter().for_each(|&no| labels[no].push(label));
        }
        let mut partitions = vec![""; world.nodes.len()];
        for (name, partition) in &world.hsm.partitions {
            partition.members.iter().for_each(|&no| partitions[no] = name);
        }
        let all: Vec<Membership<'_>> = filter
            .nodes(world)
            .map(|no| Membership {
                id: &world.nodes[no].xname,
                group_labels: std::mem::take(&mut labels[no]),
                partition_name: partitions[no],
            })
            .collect();
        Ok(json(&all))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_follow_their_rules() {
        assert!(Set::Groups.admits("blue-1:a_b.c"));
        assert!(!Set::Groups.admits("two words"));
        assert!(Set::Partitions.admits("p1") && Set::Partitions.admits("p1.2"));
        assert!(!Set::Partitions.admits("part1") && !Set::Partitions.admits("p1.2.3"));
    }
}
