//! `job`: a command of the site's own, whose exit code decides.
//!
//! It finds the components' names on its standard input, one a line: 100,000 of them fit no variable and no command
//! line. Exit code 0: everybody is through but those whom the last line on its standard output names as failed. Anything
//! else: everybody failed; the end of its standard error says why.
//!
//! A command runs where the worker runs, and ends with it (see [`crate::clients::command`]): one that its worker does not
//! know is lost, and is run again, so it has to be harmless to run it twice. With `kubernetes` it runs in a Job (see
//! [`crate::clients::kubernetes::site_job`]), which outlives its worker: the next one finds it by its name. It finds the
//! names in files then, and its log is both of its outputs.

use std::collections::BTreeMap;

use super::{
    covering, done, learnt,
    site::{Verdict, judge, key, names},
    words::clean,
};
use crate::{
    clients::{
        ClientError, Services,
        command::{Command, Ended},
        kubernetes::site_job::SiteJob,
    },
    model::{
        effect::RemoteRef,
        plan::Ordinal,
        reason::{Reason, ReasonCode},
        site::{JobStep, Pod},
        verb::{Answer, Call, CallError, Member, Seen, Shared, Sight, Took},
    },
};

/// Most characters of a command's last lines on standard error that are told.
const WORDS_CHARS_MAX: usize = 150;

/// Starts it.
pub(super) async fn act(step: &JobStep, at: &Services, call: &Call<'_>) -> Result<Answer, CallError> {
    let name = key(&call.shared, call.effect);
    let names = names(call.members, &call.shared);
    let environment = environment(step, &call.shared, &name, names.len());
    if let Some(pod) = &step.kubernetes {
        let job = site_job(step, pod, &call.shared, environment, names);
        return match at.site_jobs.start(&name, &job).await {
            Ok(()) => Ok(underway(name)),
            // It is the Job that is not taken, whomever it is for.
            Err(ClientError::Refused { text, .. }) => {
                let reason = Reason::new(ReasonCode::JobFailed, clean(&text));
                Ok(Answer { rest: Took::Refused(reason), ..done() })
            }
            Err(error) => Err(error.into()),
        };
    }
    let command = Command {
        words: step.command.clone(),
        environment,
        input: names.iter().map(|name| format!("{name}\n")).collect(),
        within: step.within,
    };
    at.commands.start(&name, command);
    Ok(underway(name))
}

/// Whether there is a Job of its name; whether this worker runs the command: if another one did, it ended with that.
pub(super) async fn find(
    step: &JobStep,
    at: &Services,
    call: &Call<'_>,
) -> Result<Option<Answer>, CallError> {
    let name = key(&call.shared, call.effect);
    let Some(pod) = &step.kubernetes else { return Ok(at.commands.look(&name).map(|_| underway(name))) };
    let names = names(call.members, &call.shared);
    let job = site_job(step, pod, &call.shared, BTreeMap::new(), names);
    Ok(at.site_jobs.find(&name, &job).await?.then(|| underway(name)))
}

/// How those that run stand.
pub(super) async fn observe(
    step: &JobStep,
    at: &Services,
    sight: &Sight<'_>,
) -> Result<Vec<(Ordinal, Seen)>, CallError> {
    let calls: Vec<String> = sight.open.iter().map(|open| key(&sight.shared, open.effect)).collect();
    let standing = match &step.kubernetes {
        Some(pod) => at.site_jobs.look(sight.shared.session_id, pod, &calls, step.within).await?,
        None => {
            let known = |name: &String| Some((name.clone(), Ok(at.commands.look(name)?)));
            calls.iter().filter_map(known).collect()
        }
    };
    let covering = covering(sight);
    let mut covered: Vec<Vec<Member<'_>>> = vec![Vec::new(); calls.len()];
    for member in sight.members {
        if let Some(index) = covering.get(&member.ordinal) {
            covered[*index].push(*member);
        }
    }
    let (mut seen, mut trouble) = (Vec::with_capacity(sight.members.len()), None);
    for (call, members) in calls.iter().zip(covered) {
        let verdicts = match standing.get(call) {
            Some(Ok(None)) => vec![Seen::Pending; members.len()],
            Some(Ok(Some(ended))) => judged(&members, &sight.shared, ended),
            // The others' ends are known all the same.
            Some(Err(error)) => {
                trouble = Some(CallError::from(error.clone()));
                continue;
            }
            None => vec![Seen::Busy(lost(step)); members.len()],
        };
        seen.extend(members.iter().map(|member| member.ordinal).zip(verdicts));
    }
    learnt(seen, trouble)
}

fn site_job<'a>(
    step: &'a JobStep,
    pod: &'a Pod,
    shared: &Shared<'a>,
    environment: BTreeMap<String, String>,
    names: Vec<String>,
) -> SiteJob<'a> {
    SiteJob {
        pod,
        command: &step.command,
        environment,
        names,
        within: step.within,
        session_id: shared.session_id,
        session: shared.session,
        step: shared.step,
    }
}

fn underway(name: String) -> Answer {
    Answer { reference: Some(RemoteRef(name)), rest: Took::Underway, ..done() }
}

fn lost(step: &JobStep) -> Reason {
    let why = match step.kubernetes {
        Some(_) => "its Job is gone; it is run again",
        None => "its worker stopped, and the command with it; it is run again",
    };
    Reason::new(ReasonCode::JobFailed, why)
}

/// What a job is told beside the components.
fn environment(
    step: &JobStep,
    shared: &Shared<'_>,
    name: &str,
    components: usize,
) -> BTreeMap<String, String> {
    let mut environment = step.environment.clone();
    environment.extend(
        [
            ("BOSUN_SESSION", shared.session.to_owned()),
            ("BOSUN_STEP", shared.step.to_owned()),
            ("BOSUN_CALL", name.to_owned()),
            ("BOSUN_COMPONENTS", components.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    environment
}

fn judged(members: &[Member<'_>], shared: &Shared<'_>, ended: &Ended) -> Vec<Seen> {
    let whole = match &ended.trouble {
        None => Verdict::Good,
        Some(trouble) => Verdict::Bad(clean(&with_words(trouble, &ended.errors))),
    };
    let document = serde_json::from_str(&ended.last_line).ok();
    let seen = |verdict| match verdict {
        Verdict::Good => Seen::Reached(None),
        Verdict::Waits(why) => {
            let text = format!("{why}, and a job that has ended cannot be asked again");
            Seen::Spent(Reason::new(ReasonCode::JobFailed, text))
        }
        Verdict::Bad(why) => Seen::Spent(Reason::new(ReasonCode::JobFailed, why)),
    };
    judge(members, shared, &whole, document.as_ref()).into_iter().map(seen).collect()
}

/// How it ended, and the last lines it said.
fn with_words(trouble: &str, errors: &str) -> String {
    let mut words = String::new();
    for line in errors.lines().rev().map(str::trim).filter(|line| !line.is_empty()) {
        let longer = if words.is_empty() { line.to_owned() } else { format!("{line} / {words}") };
        if longer.chars().count() > WORDS_CHARS_MAX && !words.is_empty() {
            break;
        }
        words = longer;
    }
    let words: String = words.chars().take(WORDS_CHARS_MAX).collect();
    if words.is_empty() { trouble.to_owned() } else { format!("{trouble}: {words}") }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};
    use crate::model::xname::Xname;

    #[test]
    fn the_exit_code_decides_but_for_those_who_are_named() {
        let xnames: [Xname; 2] = ["x1c0s0b0n0".parse().unwrap(), "x1c0s0b0n1".parse().unwrap()];
        let members = [member(&xnames[0]), Member { ordinal: Ordinal(1), ..member(&xnames[1]) }];
        let judged = |trouble: Option<&str>, last_line: &str, errors: &str| {
            let (trouble, last_line, errors) =
                (trouble.map(str::to_owned), last_line.to_owned(), errors.to_owned());
            judged(&members, &shared(), &Ended { trouble, last_line, errors })
        };
        let spent = |why: &str| Seen::Spent(Reason::new(ReasonCode::JobFailed, why));
        assert_eq!(judged(None, "all is well", ""), [Seen::Reached(None), Seen::Reached(None)]);
        let one = r#"{"failed": {"x1c0s0b0n1": "no slurmd"}}"#;
        assert_eq!(judged(None, one, "noise"), [Seen::Reached(None), spent("no slurmd")]);
        let all = spent("exit code 1: cannot reach the controller / giving up on <component>");
        let errors = "\n\ncannot reach the controller\ngiving up on x1c0s0b0n0\n";
        let long = format!("{}\n{errors}", "much said before ".repeat(60));
        assert_eq!(judged(Some("exit code 1"), one, &long), [all, spent("no slurmd")]);
    }
}
