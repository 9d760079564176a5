//! The role `doctor`: looks at everything that `serve` and its workers stand on, and says what to mend. Changes nothing.

mod kubernetes;

use std::process::ExitCode;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    cli::{
        CliError, Exit,
        client::{Client, ClientArgs},
        output::{self, Column, Lines, ListFormat, ListOutputArgs},
    },
    clients::{Probe, Services},
    config::DoctorArgs,
    db::{self, DbError, health::Health},
};

/// The oldest Postgres whose statements ours are.
const POSTGRES_MIN: i32 = 140_000;
/// Clocks may differ so much: services tell theirs in whole seconds, and answers take their time.
const SKEW_MAX: TimeDelta = TimeDelta::seconds(5);
/// Connections that have to be free: `serve`'s own, and two for each of a few workers.
const CONNECTIONS_FREE: i64 = 30;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Good,
    Warning,
    Bad,
}

/// What was looked at, and what is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    what: String,
    grade: Grade,
    found: String,
    mend: Option<String>,
}

fn good(what: &str, found: impl Into<String>) -> Finding {
    Finding { what: what.to_owned(), grade: Grade::Good, found: found.into(), mend: None }
}

fn warning(what: &str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { what: what.to_owned(), grade: Grade::Warning, found: found.into(), mend: Some(mend.into()) }
}

fn bad(what: &str, found: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding { grade: Grade::Bad, ..warning(what, found, mend) }
}

/// Looks, and prints what it found. The exit code is 1 if anything is bad; warnings alone are no reason.
///
/// # Errors
/// When the services' URLs or files cannot be used, or stdout is gone.
pub async fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let services = Services::new(&args.services.endpoints(&args.access), args.pcs.settings())
        .context("the services cannot be used as configured")?;
    let (database, server, services, kubernetes) = tokio::join!(
        look_at_database(&args.database.database_url),
        look_at_server(&args),
        services.probe(),
        kubernetes::look(&args)
    );
    let (mut findings, ahead) = database;
    findings.extend(server);
    findings.extend(services.iter().map(service));
    findings.extend(services.iter().filter_map(|probe| clock_of(probe, ahead)));
    findings.extend(kubernetes);
    print(&args.output, &findings)?;
    let is_bad = findings.iter().any(|finding| finding.grade == Grade::Bad);
    Ok(if is_bad { Exit::Error } else { Exit::Done }.into())
}

/// What is to be said of the database, and how far its clock is ahead of ours.
async fn look_at_database(url: &str) -> (Vec<Finding>, TimeDelta) {
    let mut conn = match db::open(url, "bosun doctor").await {
        Ok(conn) => conn,
        Err(error) => {
            let mend = "start it, or correct DATABASE_URL; nothing works without it";
            return (vec![bad("database", error.to_string(), mend)], TimeDelta::zero());
        }
    };
    let asked = Utc::now();
    let health = match db::health::get(&mut conn).await {
        Ok(health) => health,
        Err(error) => {
            let mend = "let the role of DATABASE_URL use the database";
            return (vec![bad("database", error.to_string(), mend)], TimeDelta::zero());
        }
    };
    let ahead = health.now - middle(asked, Utc::now());
    let mut findings = database(&health);
    findings.push(schema(db::check_schema_of(&mut conn).await));
    findings.push(clock("clock of the database", ahead));
    match db::service_life::get(&mut conn).await {
        Ok(life) if life.parked_at.is_some() => findings.push(bad(
            "sign of life",
            "nothing is admitted: nobody served this database for a while, so it may be a restored or copied one",
            "compare the machine with the history; if this is the database to trust: bosun session resume --all",
        )),
        Ok(life) => findings.push(good(
            "sign of life",
            life.at.map_or("never served yet".to_owned(), |at| format!("last served {}", at.format("%F %T UTC"))),
        )),
        // There is no schema, which is said already.
        Err(_) => {}
    }
    (findings, ahead)
}

fn middle(asked: DateTime<Utc>, answered: DateTime<Utc>) -> DateTime<Utc> {
    asked + (answered - asked) / 2
}

/// What its settings mean to us.
fn database(health: &Health) -> Vec<Finding> {
    let version = format!("Postgres {}", health.version_text);
    let mut findings = vec![if health.version >= POSTGRES_MIN {
        good("database", version)
    } else {
        bad("database", version, "upgrade it: Postgres 14 is the oldest that will do")
    }];
    if health.is_read_only {
        findings.push(bad(
            "database writes",
            "it is a standby, or read-only",
            "point DATABASE_URL to the primary",
        ));
    }
    findings.push(durability(health));
    let free = i64::from(health.connections_max) - health.connections;
    let connections = format!("{} of {} used", health.connections, health.connections_max);
    findings.push(if free >= CONNECTIONS_FREE {
        good("database connections", connections)
    } else {
        warning(
            "database connections",
            connections,
            "raise max_connections: serve takes up to 16, and each running session two",
        )
    });
    findings.push(if health.has_reader {
        good("role bosun_reader", "there")
    } else {
        warning(
            "role bosun_reader",
            "missing: people cannot ask the views with a role that may only read",
            "let an administrator create it as migrations/0003_reader.sql does, and run 'bosun migrate'",
        )
    });
    findings
}

/// A confirmed commit must survive the loss of the primary: a node is powered on because its power-off is recorded.
fn durability(health: &Health) -> Finding {
    let what = "durability";
    let Health { commit, standbys, .. } = health;
    if !health.is_flushed {
        return bad(what, "fsync is off: a crash loses the database", "set fsync = on");
    }
    match commit.as_str() {
        "off" => bad(
            what,
            "synchronous_commit is off: a crash loses what workers took for written, and nodes may be powered twice",
            "set synchronous_commit = on",
        ),
        "local" if !standbys.is_empty() => warning(
            what,
            "synchronous_commit is local: the standby may lack what workers took for written",
            "set synchronous_commit = on",
        ),
        _ if standbys.is_empty() => warning(
            what,
            "no synchronous standby: when this server is lost, so are its last seconds; sessions are then parked",
            "where the database is replicated, name a standby in synchronous_standby_names",
        ),
        _ => good(what, format!("synchronous_commit {commit}, standbys {standbys}")),
    }
}

fn schema(checked: Result<(), DbError>) -> Finding {
    match checked {
        Ok(()) => good("schema", "up to date"),
        Err(error) => bad("schema", error.to_string(), "run 'bosun migrate'"),
    }
}

fn clock(what: &str, ahead: TimeDelta) -> Finding {
    let seconds = ahead.as_seconds_f64();
    let found = format!("{seconds:+.1} s");
    if ahead.abs() <= SKEW_MAX {
        return good(what, found);
    }
    warning(
        what,
        format!("{found} from ours: what a service did may be taken for older or newer than it is"),
        "synchronise the clocks (chronyc tracking on both hosts)",
    )
}

fn service(probe: &Probe) -> Finding {
    let what = format!("service {}", probe.service);
    match &probe.answer {
        Ok(seen) => {
            let version =
                seen.version.as_ref().map_or(String::new(), |version| format!("version {version}, "));
            let took = probe.took.as_millis();
            good(&what, format!("{version}answers in {took} ms at {}", probe.url))
        }
        Err(error) if probe.service == "tapms" => warning(
            &what,
            error.to_string(),
            "needed where there are tenants only: mend it, or correct BOSUN_TAPMS_URL",
        ),
        Err(error) => {
            let variable = match probe.service {
                "s3" => "BOSUN_S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY".to_owned(),
                name => format!("BOSUN_{}_URL", name.to_uppercase()),
            };
            bad(
                &what,
                format!("{error} (at {})", probe.url),
                format!("mend the service, or correct {variable}"),
            )
        }
    }
}

/// Against the database's: deadlines and intents are by its clock. None where all is well, or no clock was told.
fn clock_of(probe: &Probe, database_ahead: TimeDelta) -> Option<Finding> {
    let date = probe.answer.as_ref().ok()?.date?;
    // A service's second has begun anywhere within it.
    let ahead = date + TimeDelta::milliseconds(500) - probe.at - database_ahead;
    let finding = clock(&format!("clock of {}", probe.service), ahead);
    (finding.grade != Grade::Good).then_some(finding)
}

/// A bosun that serves, where somebody says where: one of another version than this program may not know what it says.
async fn look_at_server(args: &DoctorArgs) -> Option<Finding> {
    let url = args.url.clone()?;
    let access = &args.access;
    let (token_file, ca_file) = (access.token_file.clone(), access.ca_file.clone());
    let asked = ClientArgs { url: url.clone(), token_file, ca_file, tenant: None };
    let answer: Result<Value, CliError> = match Client::new(&asked) {
        Ok(client) => client.get(&["healthz"], &[]).await,
        Err(error) => Err(error),
    };
    Some(server(&url, answer))
}

fn server(url: &str, answer: Result<Value, CliError>) -> Finding {
    const WHAT: &str = "bosun that serves";
    let own = env!("CARGO_PKG_VERSION");
    match answer {
        Ok(health) => match health["version"].as_str() {
            Some(version) if version == own => good(WHAT, format!("version {version} at {url}")),
            other => warning(
                WHAT,
                format!("version {} at {url}, and this program is version {own}", other.unwrap_or("unknown")),
                "use the program of the version that serves",
            ),
        },
        Err(error) => bad(WHAT, error.to_string(), "start it, or correct BOSUN_URL"),
    }
}

impl Grade {
    fn label(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Bad => "error",
        }
    }
}

fn shown(findings: &[Finding]) -> Value {
    let shown = findings.iter().map(|Finding { what, grade, found, mend }| {
        json!({"check": what, "result": grade.label(), "found": found, "mend": mend})
    });
    Value::Array(shown.collect())
}

/// A list like others; for people with what is to be done below it, unless each line says so already.
fn print(args: &ListOutputArgs, findings: &[Finding]) -> Result<(), CliError> {
    if args.output == ListFormat::Table {
        return output::write(&text(args, findings));
    }
    let lines = &Lines {
        columns: &[
            (Column::Text("RESULT"), "result"),
            (Column::Text("CHECK"), "check"),
            (Column::Text("FOUND"), "found"),
        ],
        wide: &[(Column::Text("MEND"), "mend")],
        name: "check",
    };
    output::list(args, &shown(findings), lines)
}

/// A line for each, and below those that are not well what to do.
fn text(args: &ListOutputArgs, findings: &[Finding]) -> String {
    let columns = [Column::Text("RESULT"), Column::Text("CHECK"), Column::Text("FOUND")];
    let row = |finding: &Finding| {
        vec![finding.grade.label().to_owned(), finding.what.clone(), finding.found.clone()]
    };
    let mut text = output::headed(args, output::table(&columns, findings.iter().map(row)));
    let mends: Vec<String> = findings
        .iter()
        .filter_map(|finding| Some(format!("{}: {}\n", finding.what, finding.mend.as_ref()?)))
        .collect();
    text.push_str(if mends.is_empty() { "\nall is well\n" } else { "\nto be done:\n" });
    text.extend(mends);
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::clients::{ClientError, Seen};

    use super::*;

    fn sound() -> Health {
        Health {
            version: 170_002,
            version_text: "17.2".to_owned(),
            now: DateTime::UNIX_EPOCH,
            standbys: "ANY 1 (a, b)".to_owned(),
            commit: "on".to_owned(),
            is_flushed: true,
            is_read_only: false,
            has_reader: true,
            connections_max: 100,
            connections: 5,
        }
    }

    fn grades(health: &Health) -> Vec<(String, &'static str)> {
        let findings = database(health);
        let wrong = findings.into_iter().filter(|finding| finding.grade != Grade::Good);
        wrong.map(|finding| (finding.what, finding.grade.label())).collect()
    }

    #[test]
    fn a_database_is_judged_by_what_it_may_lose() {
        let of = |change: fn(&mut Health)| {
            let mut health = sound();
            change(&mut health);
            grades(&health)
        };
        let only = |what: &str, grade| vec![(what.to_owned(), grade)];
        assert_eq!(of(|_| {}), vec![]);
        assert_eq!(of(|health| health.version = 130_011), only("database", "error"));
        assert_eq!(of(|health| health.standbys.clear()), only("durability", "warning"));
        assert_eq!(of(|health| health.commit = "off".to_owned()), only("durability", "error"));
        assert_eq!(of(|health| health.commit = "local".to_owned()), only("durability", "warning"));
        assert_eq!(of(|health| health.is_flushed = false), only("durability", "error"));
        assert_eq!(of(|health| health.is_read_only = true), only("database writes", "error"));
        assert_eq!(of(|health| health.connections = 80), only("database connections", "warning"));
        assert_eq!(of(|health| health.has_reader = false), only("role bosun_reader", "warning"));
    }

    #[test]
    fn a_clock_that_is_off_is_told() {
        let probe = |seconds| Probe {
            service: "pcs",
            url: "http://pcs".to_owned(),
            at: DateTime::UNIX_EPOCH,
            took: Duration::from_millis(3),
            answer: Ok(Seen {
                date: Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)),
                version: None,
            }),
        };
        assert_eq!(clock_of(&probe(3), TimeDelta::zero()), None);
        // As far ahead of us as the database is: it agrees with what matters.
        assert_eq!(clock_of(&probe(60), TimeDelta::seconds(60)), None);
        let off = clock_of(&probe(-90), TimeDelta::zero()).expect("it is told");
        assert!(off.found.starts_with("-89.5 s") && off.mend.is_some(), "{off:?}");
    }

    #[test]
    fn a_server_of_another_version_is_told() {
        let health = |version: &str| Ok(json!({"database": "ok", "version": version}));
        assert_eq!(server("http://b", health(env!("CARGO_PKG_VERSION"))).grade, Grade::Good);
        let other = server("http://b", health("9.9.9"));
        assert!(
            other.grade == Grade::Warning && other.found.starts_with("version 9.9.9 at http://b"),
            "{other:?}"
        );
        assert_eq!(server("http://b", Err(CliError::Usage("no".to_owned()))).grade, Grade::Bad);
    }

    #[test]
    fn a_service_that_fails_says_what_to_correct() {
        let probe = |service| Probe {
            service,
            url: "http://there".to_owned(),
            at: DateTime::UNIX_EPOCH,
            took: Duration::ZERO,
            answer: Err(ClientError::Unavailable { service, text: "refused".to_owned(), retry_after: None }),
        };
        let hsm = service(&probe("hsm"));
        assert_eq!(hsm.grade, Grade::Bad);
        assert!(hsm.mend.expect("it can be mended").contains("BOSUN_HSM_URL"));
        assert_eq!(service(&probe("tapms")).grade, Grade::Warning);
        let args = ListOutputArgs { output: ListFormat::Table, no_headers: false };
        let told = text(&args, &[good("database", "Postgres 17.2"), service(&probe("hsm"))]);
        assert!(told.contains("to be done:\nservice hsm: mend the service"), "{told}");
    }
}
