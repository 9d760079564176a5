//! Reads the parameters of `http` and `job`.

use std::{
    collections::BTreeMap,
    num::{NonZeroU16, NonZeroU32},
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;

use super::fields::Fields;
use crate::model::site::{HttpStep, JobStep, Method, Per, Pod, Question, Request, Secret, Until, Url};

/// Components in a call where the workflow is silent: a body of some 15 kB, which every service takes.
const BATCH: NonZeroU32 = NonZeroU32::new(1_000).expect("not zero");
/// How long one run of a job may take where the workflow is silent.
const WITHIN: Duration = Duration::from_secs(10 * 60);

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PerWord {
    Batch,
    Slice,
    Session,
}

/// Reads what `http` is told.
pub(super) fn http(fields: &mut Fields<'_>) -> HttpStep {
    let call = fields.map("call").map(|mut call| {
        let method = method(&mut call, Method::Post);
        if method == Method::Get {
            call.wrong("method: GET changes nothing; to ask, use 'wait'".to_owned());
        }
        let request = url(&mut call).map(|url| Request { method, url });
        call.end(&[]);
        request
    });
    let wait = fields.map("wait").map(|mut wait| {
        let method = method(&mut wait, Method::Get);
        if !matches!(method, Method::Get | Method::Post) {
            wait.wrong(format!("method: {method} does not only ask; use GET or POST"));
        }
        let url = url(&mut wait);
        let until = wait.map("until").and_then(until);
        wait.end(&[]);
        url.map(|url| Question { method, url, until })
    });
    if call.is_none() && wait.is_none() {
        fields.wrong("it says neither what to 'call' nor what to 'wait' for".to_owned());
    }
    let calls = call.is_some();
    let step = HttpStep {
        per: per(fields, Per::Batch(BATCH)),
        token: fields.map("token").and_then(secret),
        disturbs: disturbs(fields, calls),
        call: call.flatten(),
        wait: wait.flatten(),
    };
    if step.disturbs && !calls {
        fields.wrong("disturbs: it calls nothing, so it disturbs nobody".to_owned());
    }
    step
}

/// Reads what `job` is told.
pub(super) fn job(fields: &mut Fields<'_>) -> JobStep {
    let command = fields.scalars("command");
    if command.first().is_none_or(String::is_empty) {
        fields.wrong("'command' is missing: the program and its arguments, as a list".to_owned());
    }
    let environment: BTreeMap<String, String> =
        fields.map("environment").map(Fields::all_scalars).unwrap_or_default().into_iter().collect();
    let taken = |name: &&String| name.starts_with("BOSUN_");
    if let Some(name) = environment.keys().find(taken) {
        fields.wrong(format!("environment: '{name}' is not yours to set; bosun tells a job its own BOSUN_…"));
    }
    JobStep {
        command,
        environment,
        within: fields.duration("within", false).unwrap_or(WITHIN),
        per: per(fields, Per::Slice),
        disturbs: disturbs(fields, true),
        kubernetes: fields.map("kubernetes").map(|mut pod| {
            let read = Pod {
                image: pod.required("image", "the name of an image").unwrap_or_default(),
                namespace: pod.optional("namespace", "the name of a namespace"),
                service_account: pod.optional("service_account", "the name of a ServiceAccount"),
            };
            pod.end(&[]);
            read
        }),
    }
}

fn method(fields: &mut Fields<'_>, silent: Method) -> Method {
    fields.optional_word("method", "method").unwrap_or(silent)
}

fn url(fields: &mut Fields<'_>) -> Option<Url> {
    let text: String = fields.required("url", "a URL")?;
    Url::try_from(text).map_err(|why| fields.wrong(format!("url: {why}"))).ok()
}

fn until(mut fields: Fields<'_>) -> Option<Until> {
    let at: Option<String> = fields.required("at", "a JSON pointer");
    if at.as_ref().is_some_and(|at| !at.is_empty() && !at.starts_with('/')) {
        fields.wrong("at: a JSON pointer begins with '/', as in /state".to_owned());
    }
    let equals: Option<Value> = fields.required("equals", "a value");
    if equals.as_ref().is_some_and(|value| value.is_array() || value.is_object()) {
        fields.wrong("equals: write a text, a number, true or false".to_owned());
    }
    fields.end(&[]);
    Some(Until { at: at?, equals: equals? })
}

fn secret(mut fields: Fields<'_>) -> Option<Secret> {
    let file: Option<String> = fields.optional("file", "the path of a file");
    let variable: Option<String> = fields.optional("environment", "the name of a variable");
    let secret = match (file, variable) {
        (Some(path), None) => Some(Secret::File(path)),
        (None, Some(name)) => Some(Secret::Environment(name)),
        _ => {
            fields.wrong(
                "name one of 'file' and 'environment'; the token itself is never written here".to_owned(),
            );
            None
        }
    };
    fields.end(&[]);
    secret
}

fn per(fields: &mut Fields<'_>, silent: Per) -> Per {
    let most: Option<NonZeroU16> = fields.number("batch");
    let word: Option<PerWord> = fields.optional_word("per", "group");
    let per = match word {
        None if most.is_some() => Per::Batch(BATCH),
        None => silent,
        Some(PerWord::Batch) => Per::Batch(BATCH),
        Some(PerWord::Slice) => Per::Slice,
        Some(PerWord::Session) => Per::Session,
    };
    match (per, most) {
        (Per::Batch(_), Some(most)) => Per::Batch(most.into()),
        (_, Some(_)) => {
            fields.wrong("batch: it has a meaning with 'per: batch' only".to_owned());
            per
        }
        (_, None) => per,
    }
}

fn disturbs(fields: &mut Fields<'_>, silent: bool) -> bool {
    fields.optional("disturbs", "true or false").unwrap_or(silent)
}
