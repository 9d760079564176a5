//! `bosun demo`: everything on one machine, one session, a worker that is killed half-way, and the proof of what the
//! nodes went through.

mod killer;
mod proof;

use std::{ffi::OsString, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{
    cli::{
        Exit,
        client::Client,
        follow::{self, Followed},
        output::{self, Format},
        progress::Progress,
        summary,
        view::SessionView,
    },
    config::{AccessArgs, DemoArgs, NotifyArgs, PcsArgs, ServiceArgs},
    dev::{self, DEMO_TEMPLATE, House},
    serve,
};

/// What PCS does every so often in the demo's small world, instead of every 30 s, 15 s and 60 s.
const PCS: PcsArgs = PcsArgs {
    pcs_sample_interval: Duration::from_millis(500),
    pcs_confirm_interval: Duration::from_millis(250),
    pcs_minute: Duration::from_secs(3),
};
/// The rest of that world.
const MACHINE: &[(&str, &str)] = &[
    ("soft-off", "2s"),
    ("force-off", "1s"),
    ("power-on", "1s"),
    ("boot", "8s"),
    ("configure", "4s"),
    ("pcs-sample-interval", "500ms"),
    ("pcs-confirm-interval", "250ms"),
    ("pcs-minute", "3s"),
];
/// Longer than any demo takes: something is wrong then.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Runs the demo; the exit code is the session's.
///
/// # Errors
/// When something cannot be started, or the nodes went through something they should not have.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let stop = serve::until_signal()?;
    let directory = std::env::temp_dir().join(format!("bosun-demo-{}", std::process::id()));
    let result = tokio::select! {
        result = live(&args, directory.clone(), stop.clone()) => result,
        () = stop.cancelled(), if !args.keep => Err(anyhow::anyhow!("interrupted")),
    };
    if args.database_url.is_none() {
        // What is left of a demo is of no use; what cannot be removed is the system's to clean.
        let _ = std::fs::remove_dir_all(&directory);
    }
    result
}

async fn live(
    args: &DemoArgs,
    directory: PathBuf,
    stop: tokio_util::sync::CancellationToken,
) -> anyhow::Result<ExitCode> {
    let mut progress = Progress::for_stderr();
    progress.note(&format!("starting a database, {} simulated nodes, the API", args.nodes));
    let house = House::open(settings(args, directory)).await?;
    let shown = tokio::select! {
        shown = watch(args, &house, &mut progress) => shown,
        () = stop.cancelled() => Err(anyhow::anyhow!("interrupted")),
    };
    if args.keep && shown.is_ok() {
        let machine = house.machine_url.as_deref().unwrap_or_default();
        progress.note(&format!(
            "the machine's power log: {machine}/sim/power-log, its edges: {machine}/sim/edges\n\
             the API: export BOSUN_URL={}\nCtrl-C ends it all",
            house.url
        ));
        stop.cancelled().await;
    }
    house.close().await;
    shown.map(Into::into)
}

fn settings(args: &DemoArgs, directory: PathBuf) -> dev::Settings {
    let initially = if args.operation == "boot" { "off" } else { "on" };
    let mut machine: Vec<OsString> = vec![
        format!("--nodes={}", args.nodes).into(),
        format!("--fail-power-off={}", args.fail_power_off).into(),
        format!("--initially={initially}").into(),
    ];
    machine.extend(MACHINE.iter().map(|(name, value)| format!("--{name}={value}").into()));
    // The log of the workers would tear the bars apart.
    let log = std::env::var("BOSUN_LOG").unwrap_or_else(|_| "error".to_owned());
    dev::Settings {
        listen: ([127, 0, 0, 1], 0).into(),
        metrics_listen: None,
        data: directory,
        database_url: args.database_url.clone(),
        workflows: None,
        service_patience: TIMEOUT,
        notify: NotifyArgs::default(),
        services: ServiceArgs::default(),
        access: AccessArgs::default(),
        pcs: PCS,
        machine,
        worker_environment: vec![("BOSUN_LOG".to_owned(), log)],
    }
}

/// Creates the session, follows it, kills its worker, and proves what happened.
async fn watch(args: &DemoArgs, house: &House, progress: &mut Progress) -> anyhow::Result<Exit> {
    let client = Client::at(&house.url, &["bosun", "v1"])?;
    let request = json!({"template": DEMO_TEMPLATE, "operation": args.operation, "name": name(args)});
    let created: Value = client.post(&["sessions"], &request).await?;
    let view: SessionView = serde_json::from_value(created).context("cannot read the session")?;
    progress.note(&format!("session {}: {}", view.name, summary::counts(&view)));
    let (killed, said) = tokio::sync::mpsc::unbounded_channel();
    let killer = killer::kill(house.pool.clone(), client.clone(), view.clone(), args.kill_worker, killed);
    let killer = tokio::spawn(killer);
    let followed = follow_with(&client, &view.name, progress, said).await;
    killer.abort();
    let followed = followed?;
    let proof = proof::of(house, &client, &followed.view.name).await?;
    print(args.output, &followed, &proof)?;
    proof.hold()?;
    Ok(followed.exit)
}

fn name(args: &DemoArgs) -> String {
    match args.database_url {
        Some(_) => format!("demo-{}", std::process::id()),
        None => "demo".to_owned(),
    }
}

/// Follows the session while the killer says what it does.
async fn follow_with(
    client: &Client,
    name: &str,
    progress: &mut Progress,
    mut said: tokio::sync::mpsc::UnboundedReceiver<String>,
) -> anyhow::Result<Followed> {
    let mut notes = progress.notes();
    let telling = async {
        while let Some(text) = said.recv().await {
            notes.note(&text);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        followed = follow::follow(client, name, Some(TIMEOUT), progress) => Ok(followed?),
        () = telling => unreachable!("it never ends by itself"),
    }
}

/// The proof goes before the summary: its last line is the command that retries what failed.
fn print(format: Format, followed: &Followed, proof: &proof::Proof) -> anyhow::Result<()> {
    match format {
        Format::Table => output::write(&format!("{proof}\n"))?,
        Format::Json | Format::Yaml => eprint!("{proof}"),
    }
    output::print(format, &followed.value, || summary::session(&followed.view))?;
    Ok(())
}
