//! What `http` and `job` share: how a call is named, whom it speaks of, and what is told of single components.
//!
//! The contract is one JSON object: the answer of a webhook, or the last line on a job's standard output.
//!
//! ```json
//! {"failed": {"x1000c0s0b0n0": "no such node"}, "pending": ["x1000c0s1b0n0"]}
//! ```
//!
//! Both fields may be missing, and so may the object. Who is in `failed` has failed, for that reason; who is in `pending`
//! (webhooks only) is not there yet; everybody else is as the call as a whole. Names that were not asked about are a
//! misunderstanding, and nobody is believed to be through because of one: everybody fails. A call once per session
//! that speaks for several slices is one thing: if somebody failed, everybody did.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::words::clean;
use crate::model::{
    effect::EffectNo,
    verb::{Member, Shared},
};

/// What is to be thought of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is through.
    Good,
    /// Not yet, and why.
    Waits(String),
    /// It has failed, and why.
    Bad(String),
}

/// The name of a call: the same however often it is asked for, and of no other call, also of another installation whose
/// sessions have the same numbers.
pub(super) fn key(shared: &Shared<'_>, effect: EffectNo) -> String {
    let digest = Sha256::digest(format!("{}\n{}", shared.session, shared.step));
    let salt: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("bosun-{}-{}-{salt}", shared.session_id, effect.0)
}

/// Whom a call speaks of.
pub(super) fn names(members: &[Member<'_>], shared: &Shared<'_>) -> Vec<String> {
    members.iter().map(|member| member.xname).chain(shared.others).map(ToString::to_string).collect()
}

/// What is to be thought of each of `members`: of the call as a whole, and of what was told of single ones.
pub(super) fn judge(
    members: &[Member<'_>],
    shared: &Shared<'_>,
    whole: &Verdict,
    document: Option<&Value>,
) -> Vec<Verdict> {
    let everybody = |verdict: Verdict| vec![verdict; members.len()];
    let told = match told(document) {
        Ok(told) => told,
        Err(why) => return everybody(Verdict::Bad(why.to_owned())),
    };
    if told.failed.is_empty() && told.pending.is_empty() {
        return everybody(whole.clone());
    }
    let asked: HashSet<String> = names(members, shared).into_iter().collect();
    if let Some(stranger) = told.failed.keys().chain(&told.pending).find(|name| !asked.contains(*name)) {
        // Cleaned only in its frame: the stranger itself is what has to be looked at.
        return everybody(Verdict::Bad(format!(
            "it speaks of '{}', whom it was not asked about",
            short(stranger)
        )));
    }
    if !shared.others.is_empty() {
        let first = told.failed.values().next();
        return everybody(match (whole, first) {
            (Verdict::Bad(_), _) | (_, None) if told.pending.is_empty() => whole.clone(),
            (_, Some(why)) => Verdict::Bad(format!("{} failed: {}", told.failed.len(), clean(why))),
            (_, None) => Verdict::Waits(format!("{} are not there yet", told.pending.len())),
        });
    }
    let of = |member: &Member<'_>| {
        let name = member.xname.to_string();
        match told.failed.get(&name) {
            Some(why) => Verdict::Bad(clean(why)),
            None if told.pending.contains(&name) && *whole == Verdict::Good => {
                Verdict::Waits("it is not there yet".to_owned())
            }
            None => whole.clone(),
        }
    };
    members.iter().map(of).collect()
}

#[derive(Debug, Default)]
struct Told {
    failed: BTreeMap<String, String>,
    pending: BTreeSet<String>,
}

fn told(document: Option<&Value>) -> Result<Told, &'static str> {
    let Some(Value::Object(document)) = document else { return Ok(Told::default()) };
    let mut told = Told::default();
    match document.get("failed") {
        None | Some(Value::Null) => {}
        Some(failed) => {
            told.failed = serde_json::from_value(failed.clone())
                .map_err(|_| "its 'failed' is not an object of names and reasons")?;
        }
    }
    match document.get("pending") {
        None | Some(Value::Null) => {}
        Some(pending) => {
            told.pending = serde_json::from_value(pending.clone())
                .map_err(|_| "its 'pending' is not a list of names")?;
        }
    }
    Ok(told)
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::tests::*, *};
    use crate::model::xname::Xname;

    fn xnames() -> [Xname; 2] {
        ["x1c0s0b0n0".parse().unwrap(), "x1c0s0b0n1".parse().unwrap()]
    }

    fn judged(whole: &Verdict, document: Value, others: &[Xname]) -> Vec<Verdict> {
        let xnames = xnames();
        let members = xnames.each_ref().map(member);
        judge(&members, &Shared { others, ..shared() }, whole, Some(&document))
    }

    fn bad(why: &str) -> Verdict {
        Verdict::Bad(why.to_owned())
    }

    #[test]
    fn who_is_named_is_judged_alone_and_the_rest_as_the_whole() {
        use Verdict::Good;
        let failed = json!({"failed": {"x1c0s0b0n1": "no daemon on x1c0s0b0n1"}});
        assert_eq!(judged(&Good, failed.clone(), &[]), [Good, bad("no daemon on <component>")]);
        assert_eq!(
            judged(&bad("exit code 1"), failed, &[]),
            [bad("exit code 1"), bad("no daemon on <component>")]
        );
        let pending = json!({"pending": ["x1c0s0b0n0"], "anything": 1});
        assert_eq!(judged(&Good, pending, &[]), [Verdict::Waits("it is not there yet".to_owned()), Good]);
        for nothing in [json!(null), json!([1]), json!("x"), json!({}), json!({"failed": null})] {
            assert_eq!(judged(&Good, nothing, &[]), [Good, Good]);
        }
    }

    #[test]
    fn nobody_is_through_because_of_a_misunderstanding() {
        for (document, why) in [
            (json!({"failed": {"nid000001": "x"}}), "it speaks of 'nid000001', whom it was not asked about"),
            (json!({"pending": ["x9c0s0b0n0"]}), "it speaks of 'x9c0s0b0n0', whom it was not asked about"),
            (json!({"failed": ["x1c0s0b0n0"]}), "its 'failed' is not an object of names and reasons"),
            (json!({"pending": {"x1c0s0b0n0": 1}}), "its 'pending' is not a list of names"),
        ] {
            assert_eq!(judged(&Verdict::Good, document, &[]), [bad(why), bad(why)]);
        }
    }

    #[test]
    fn what_speaks_for_several_slices_is_one_thing() {
        let others: [Xname; 1] = ["x2c0s0b0n0".parse().unwrap()];
        let failed = json!({"failed": {"x2c0s0b0n0": "no"}, "pending": ["x1c0s0b0n0"]});
        assert_eq!(judged(&Verdict::Good, failed, &others), [bad("1 failed: no"), bad("1 failed: no")]);
        let waits = || Verdict::Waits("1 are not there yet".to_owned());
        assert_eq!(judged(&Verdict::Good, json!({"pending": ["x2c0s0b0n0"]}), &others), [waits(), waits()]);
        assert_eq!(judged(&Verdict::Good, json!({}), &others), [Verdict::Good, Verdict::Good]);
        assert_eq!(judged(&bad("exit code 1"), json!({}), &others), [bad("exit code 1"), bad("exit code 1")]);
    }

    #[test]
    fn a_call_has_one_name() {
        let name = key(&shared(), EffectNo(3));
        assert_eq!(name, key(&shared(), EffectNo(3)));
        assert!(name.starts_with("bosun-7-3-") && name.len() == 18, "{name}");
        assert_ne!(name, key(&shared(), EffectNo(4)));
        assert_ne!(name, key(&Shared { session: "another", ..shared() }, EffectNo(3)));
    }
}
