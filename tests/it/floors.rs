//! The house stands as drawn: which room may name which, where each library is at home, what is pure, and that no
//! file grows past what one reads at a sitting.

mod paths;

use std::{fs, path::Path};

use paths::{Named, named};

/// Longer files lose their reader; a second topic has crept in.
const LINES_MAX: usize = 500;

/// A room, and the rooms it may name.
const ROOMS: [(&str, &[&str]); 10] = [
    ("model", &[]),
    ("clients", &["model"]),
    ("db", &["model"]),
    ("plan", &["model"]),
    ("steps", &["model", "clients"]),
    ("admit", &["model", "clients", "db", "plan"]),
    ("engine", &["model", "clients", "db", "plan", "steps", "admit"]),
    ("api", &["model", "db", "plan", "admit"]),
    ("cli", &["model"]),
    ("sim", &["model"]),
];

/// They wire the rooms together, and may name all.
const ROLES: [&str; 9] = ["main", "lib", "serve", "worker", "dev", "demo", "doctor", "config", "telemetry"];

/// A library, and where it is at home: rooms (`db/`) and files.
const HOMES: [(&str, &[&str]); 19] = [
    ("sqlx", &["db/"]),
    ("reqwest", &["clients/", "cli/client.rs", "sim/node.rs"]),
    ("object_store", &["clients/s3.rs"]),
    ("kube", &["clients/kubernetes.rs", "clients/kubernetes/"]),
    ("k8s_openapi", &["clients/kubernetes.rs", "clients/kubernetes/"]),
    ("axum", &["api/", "sim/"]),
    ("hyper", &["api/server.rs"]),
    ("hyper_util", &["api/server.rs"]),
    ("jsonwebtoken", &["admit/token/"]),
    ("ring", &["admit/token/", "clients/notification.rs"]),
    ("tokio_rustls", &["api/tls.rs"]),
    ("opentelemetry_proto", &["clients/otlp.rs"]),
    ("petgraph", &["plan/"]),
    ("clap_complete", &["config/", "main.rs"]),
    ("clap_mangen", &["main.rs"]),
    ("prost", &["clients/otlp.rs"]),
    ("prometheus_client", &["api/metric.rs"]),
    ("clap", &["cli/", "config/", "main.rs", "/settings.rs"]),
    (
        "anyhow",
        &[
            "cli/",
            "main.rs",
            "serve.rs",
            "serve/",
            "worker.rs",
            "dev.rs",
            "demo.rs",
            "demo/",
            "doctor.rs",
            "config/",
            "telemetry.rs",
        ],
    ),
];

/// A pure room, and the libraries it may name.
const PURE: [(&str, &[&str]); 2] = [
    ("model", &["chrono", "humantime", "serde", "serde_json", "thiserror"]),
    (
        "plan",
        &[
            "chrono",
            "fixedbitset",
            "humantime",
            "petgraph",
            "serde",
            "serde_json",
            "serde_saphyr",
            "sha2",
            "thiserror",
        ],
    ),
];

/// What of the standard library asks the world something.
const IMPURE: [&str; 5] = ["env", "fs", "net", "process", "thread"];
const CLOCKS: [&str; 2] = ["Instant", "SystemTime"];

#[test]
fn the_house_stands_as_drawn() {
    let libraries = libraries(&read("Cargo.toml"));
    let mut faults = Vec::new();
    for file in sources("src") {
        faults.extend(faults_of(&file, &read(&format!("src/{file}")), &libraries));
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn no_file_outgrows_its_reader() {
    let files = sources("src").into_iter().map(|file| format!("src/{file}"));
    let tests = sources("tests").into_iter().map(|file| format!("tests/{file}"));
    let long: Vec<String> = files.chain(tests).filter_map(|file| too_long(&file, &read(&file))).collect();
    assert!(long.is_empty(), "\n{}\n", long.join("\n"));
}

fn too_long(file: &str, source: &str) -> Option<String> {
    let lines = source.lines().count();
    (lines > LINES_MAX).then(|| {
        format!("{file} has {lines} lines, {LINES_MAX} at most: move a part that has a name of its own to its own file")
    })
}

/// What is wrong with `file` (below `src`), each with its line and what to do instead.
fn faults_of(file: &str, source: &str, libraries: &[String]) -> Vec<String> {
    let place = Place::of(file);
    let room = ROOMS.iter().find(|(name, _)| *name == place.room);
    if room.is_none() && !ROLES.contains(&place.room) {
        return vec![format!(
            "src/{file}: {} is no room of the house: put it into one, or draw it (ROOMS in tests/it/floors.rs)",
            place.room
        )];
    }
    let mut faults = Vec::new();
    for named in named(source) {
        let reasons = [
            room.and_then(|(_, may)| place.wrong_room(&named, may)),
            wrong_home(file, &named),
            place.impure(&named, libraries),
        ];
        let path = named.segments.join("::");
        faults.extend(
            reasons.into_iter().flatten().map(|why| format!("src/{file}:{}: `{path}`: {why}", named.line)),
        );
    }
    faults
}

/// Where a file stands.
struct Place<'a> {
    room: &'a str,
    /// The path of its module: `["db", "session"]`.
    module: Vec<&'a str>,
}

impl<'a> Place<'a> {
    fn of(file: &'a str) -> Self {
        let stem = file.strip_suffix(".rs").unwrap_or(file);
        let mut module: Vec<&str> = stem.split('/').collect();
        let room = module[0];
        if matches!(module.last(), Some(&("mod" | "lib" | "main"))) {
            module.pop();
        }
        Self { room, module }
    }

    fn wrong_room(&self, named: &Named, may: &[&str]) -> Option<String> {
        let other = self.room_named(named)?;
        if other == self.room || may.contains(&other) {
            return None;
        }
        let known = ROOMS.iter().any(|(name, _)| *name == other);
        Some(match (known, may) {
            (false, _) => {
                format!("{} may only name rooms, by their names; move what you need down into one", self.room)
            }
            (true, []) => format!(
                "{} stands on the ground floor and names no other room; move the code up to its user",
                self.room
            ),
            (true, may) => format!(
                "{} may name {} only; move the code up to a room that may name {other}, or what both need down to model",
                self.room,
                may.join(", "),
            ),
        })
    }

    /// The room that a path of our own crate leads to; none if it is of another crate.
    fn room_named<'n>(&self, named: &'n Named) -> Option<&'n str> {
        let mut rest = named.segments.as_slice();
        let mut above = self.module.len() + named.inside.len();
        match rest.first()?.as_str() {
            "crate" => above = 0,
            "self" | "super" => {}
            _ => return None,
        }
        while let [first, tail @ ..] = rest
            && matches!(first.as_str(), "crate" | "self" | "super")
        {
            above = above.saturating_sub(usize::from(first == "super"));
            rest = tail;
        }
        if above > 0 { None } else { rest.first().map(String::as_str) }
    }

    fn impure(&self, named: &Named, libraries: &[String]) -> Option<String> {
        let (room, may) = PURE.iter().find(|(room, _)| *room == self.room)?;
        let segments: Vec<&str> = named.segments.iter().map(String::as_str).collect();
        let asks = match segments.as_slice() {
            ["std", module, ..] if IMPURE.contains(module) => true,
            ["std", "time", kind, ..] if CLOCKS.contains(kind) => true,
            [.., kind, "now"] => CLOCKS.contains(kind) || matches!(*kind, "Utc" | "Local"),
            _ => false,
        };
        if asks {
            return Some(format!("{room} is pure: hand in the time or the text from the room that calls"));
        }
        let library = segments[0];
        (libraries.iter().any(|known| known == library) && !may.contains(&library)).then(|| {
            format!("{room} is pure and names {} only; do this in the room that calls", may.join(", "))
        })
    }
}

fn wrong_home(file: &str, named: &Named) -> Option<String> {
    let library = named.segments.first()?;
    let (_, homes) = HOMES.iter().find(|(name, _)| name == library)?;
    let at_home = homes.iter().any(|home| match home.strip_prefix('/') {
        Some(name) => file.rsplit('/').next() == Some(name),
        None => file == *home || (home.ends_with('/') && file.starts_with(home)),
    });
    (!at_home).then(|| {
        let homes: Vec<&str> = homes.iter().map(|home| home.trim_start_matches('/')).collect();
        format!("{library} is at home in {}; write a function there, and call that", homes.join(", "))
    })
}

/// The libraries of a `Cargo.toml` that the product itself uses, as sources spell them.
fn libraries(manifest: &str) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim().replace('-', "_"))
        .collect()
}

/// The Rust files below a folder of the project, as paths below that folder, in order.
fn sources(folder: &str) -> Vec<String> {
    fn walk(folder: &Path, below: &str, files: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{below}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &format!("{name}/"), files);
            } else if name.ends_with(".rs") {
                files.push(name);
            }
        }
    }
    let mut files = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), "", &mut files);
    files.sort();
    assert!(!files.is_empty(), "{folder} holds no Rust file");
    files
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn what_is_not_drawn_is_found() {
    let libraries = ["sqlx", "tokio", "serde", "chrono"].map(str::to_owned);
    let faults = |file: &str, source: &str| faults_of(file, source, &libraries);
    // The room, the source, and what the one fault must say.
    let wrong = [
        (
            "model/session.rs",
            "fn f() {}\nuse crate::{model::Xname, db::Pool};",
            "src/model/session.rs:2: `crate::db::Pool`",
        ),
        ("model/session.rs", "use super::super::db;", "names no other room"),
        ("model/session.rs", "mod tests { use super::super::super::db; }", "names no other room"),
        ("model/mod.rs", "pub use super::plan::Plan;", "names no other room"),
        ("model/session.rs", "use tokio::time::sleep;", "model is pure"),
        ("model/session.rs", "fn f() { let t = chrono::Utc::now(); }", "hand in the time"),
        ("plan/flow/mod.rs", "use std::time::{Duration, Instant};", "hand in the time"),
        ("plan/mod.rs", "use std::fs::read;", "hand in the time or the text"),
        ("plan/mod.rs", "use crate::clients::Hsm;", "plan may name model only"),
        ("steps/power_on.rs", "use crate::plan::Flow;", "steps may name model, clients only"),
        ("api/session.rs", "use crate::engine::Engine;", "api may name model, db, plan, admit only"),
        ("sim/pcs.rs", "fn f(p: crate::clients::pcs::Power) {}", "sim may name model only"),
        ("engine/drive.rs", "use crate::config::Cli;", "may only name rooms"),
        ("engine/drive.rs", "use crate::*;", "may only name rooms"),
        ("engine/drive.rs", "fn f() { sqlx::query!(\"select\"); }", "sqlx is at home in db/"),
        ("serve.rs", "#[derive(sqlx::FromRow)] struct A;", "sqlx is at home in db/"),
        ("serve.rs", "use axum;", "axum is at home in api/, sim/"),
        ("cli/session.rs", "use reqwest::Client;", "cli/client.rs"),
        ("clients/pcs.rs", "use kube::Api;", "clients/kubernetes.rs"),
        ("engine/drive.rs", "use petgraph::Graph;", "petgraph is at home in plan/"),
        ("db/pool.rs", "use clap::Args;", "settings.rs"),
        ("db/pool.rs", "fn f() -> anyhow::Result<()> {}", "anyhow is at home in cli/"),
        ("attic/old.rs", "fn f() {}", "attic is no room"),
    ];
    for (file, source, says) in wrong {
        let found = faults(file, source);
        assert!(matches!(found.as_slice(), [only] if only.contains(says)), "{file}: {source}: {found:?}");
    }
    let right = [
        (
            "model/session.rs",
            "use super::xname::Xname; use serde::Serialize; mod tests { use super::super::xname; }",
        ),
        ("model/mod.rs", "pub use self::session::Session; use chrono::{DateTime, Utc};"),
        ("db/session.rs", "use crate::model::Session; fn f() { sqlx::query!(\"select\"); }"),
        ("engine/drive.rs", "use crate::{admit, db, plan::flow::Flow, steps}; // crate::api::Router"),
        ("sim/settings.rs", "use clap::Parser; fn f() { g(\"crate::db::Pool\"); }"),
        ("serve.rs", "use crate::{api, engine}; fn f() -> anyhow::Result<()> {}"),
        ("sim/node.rs", "fn f() { reqwest::Client::new(); self.tokio.crate_name(); }"),
    ];
    for (file, source) in right {
        assert_eq!(faults(file, source), Vec::<String>::new(), "{file}: {source}");
    }
}

#[test]
fn a_long_file_is_found() {
    assert_eq!(too_long("src/db/a.rs", &"\n".repeat(LINES_MAX)), None);
    let says = too_long("src/db/a.rs", &"\n".repeat(LINES_MAX + 1)).unwrap();
    assert!(says.starts_with("src/db/a.rs has 501 lines, 500 at most"));
}

#[test]
fn libraries_are_read_from_the_manifest() {
    let manifest = "[package]\nname = \"a\"\n[dependencies]\nfutures-util = \"1\"\nsqlx = { version = \"1\" }\n\n[dev-dependencies]\ninsta = \"1\"";
    assert_eq!(libraries(manifest), ["futures_util", "sqlx"]);
}
