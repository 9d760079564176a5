//! `bosun plan`: what a session would do.

use clap::Args;
use serde_json::{Value, json};

use super::{
    CliError, Exit,
    client::{Client, ClientArgs},
    output::{self, Column, Format},
    rollout::RolloutArgs,
    selection,
};

/// What is to be done with whom.
#[derive(Args, Debug, Clone)]
pub struct RequestArgs {
    /// The session template; NAME@VERSION pins a version
    #[arg(long, alias = "template-name", value_name = "NAME")]
    pub template: String,
    /// The operation: boot, reboot, shutdown, configure, or one of the site's own
    #[arg(long)]
    pub operation: String,
    /// Only these components: xnames, ranges (x3000c0s[1-16]b0n0), parents (x3000c0), groups, roles, NIDs
    /// (nid[1-16]), @failed:SESSION, a file (a word with a `/`), or stdin (`-`); `&` keeps what is in both, `!` takes away
    #[arg(long)]
    pub limit: Option<String>,
    /// Include components that HSM says are disabled
    #[arg(long)]
    pub include_disabled: bool,
    /// What is done with a node that is on while nobody knows what it runs: leave or reboot
    #[arg(long, value_name = "POLICY", value_parser = ["leave", "reboot"])]
    pub unknown: Option<String>,
    /// What is done where another session holds components: reject this one (as it is without), wait until they are free,
    /// skip them, or take them over (preempt)
    #[arg(long, value_name = "WHAT", value_parser = ["reject", "wait", "skip", "preempt"])]
    pub on_conflict: Option<String>,
    /// Refuse a session for more nodes than this
    #[arg(long, value_name = "N")]
    pub expect_at_most: Option<u32>,
    /// How it goes over its components
    #[command(flatten)]
    pub rollout: RolloutArgs,
}

impl RequestArgs {
    /// As the API wants it.
    ///
    /// # Errors
    /// When a file with components cannot be read.
    pub fn body(&self) -> Result<Value, CliError> {
        let mut body = json!({
            "template": self.template,
            "operation": self.operation,
            "include_disabled": self.include_disabled,
        });
        if let Some(limit) = &self.limit {
            body["limit"] = json!(selection::expand(limit)?);
        }
        if let Some(unknown) = &self.unknown {
            body["unknown"] = json!(unknown);
        }
        if let Some(on_conflict) = &self.on_conflict {
            body["on_conflict"] = json!(on_conflict);
        }
        if let Some(most) = self.expect_at_most {
            body["expect_at_most"] = json!(most);
        }
        self.rollout.add_to(&mut body);
        Ok(body)
    }
}

/// The form of a plan.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanFormat {
    /// Members, skips, artifacts and the tree of steps, for people.
    Table,
    /// Everything, for scripts.
    Json,
    /// Everything, for scripts and files.
    Yaml,
    /// The DAG for Graphviz.
    Dot,
}

/// `bosun plan`
#[derive(Args, Debug, Clone)]
pub struct PlanArgs {
    /// What is to be done
    #[command(flatten)]
    pub request: RequestArgs,
    /// How the plan is printed
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: PlanFormat,
    /// The server
    #[command(flatten)]
    pub client: ClientArgs,
}

/// Shows what a session would do; changes nothing.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn run(args: &PlanArgs) -> Result<Exit, CliError> {
    let client = Client::new(&args.client)?;
    let body = args.request.body()?;
    match args.output {
        PlanFormat::Dot => {
            let plan: Value = client.post(&["plan"], &body).await?;
            output::write(plan["dot"].as_str().unwrap_or_default())?;
            Ok(Exit::Done)
        }
        PlanFormat::Table => show(&client, &body, Format::Table).await,
        PlanFormat::Json => show(&client, &body, Format::Json).await,
        PlanFormat::Yaml => show(&client, &body, Format::Yaml).await,
    }
}

/// Asks for a plan and prints it.
///
/// # Errors
/// When the server cannot be asked, or refuses.
pub async fn show(client: &Client, body: &Value, format: Format) -> Result<Exit, CliError> {
    let plan: Value = client.post(&["plan"], body).await?;
    output::print(format, &plan, || table(&plan))?;
    Ok(Exit::Done)
}

fn table(plan: &Value) -> String {
    let cycled = match plan["power_cycled"].as_u64() {
        None | Some(0) => String::new(),
        Some(count) => format!(", of which {count} would be power-cycled"),
    };
    let mut text = format!(
        "{} {}: {} components{cycled}, {} skipped\n",
        plan["operation"].as_str().unwrap_or_default(),
        plan["template"].as_str().unwrap_or_default(),
        plan["targeted"],
        plan["skipped"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|skip| skip["count"].as_u64())
            .sum::<u64>(),
    );
    let lines = |key: &str, heading: &str, line: fn(&Value) -> String| {
        let items = plan[key].as_array().map(Vec::as_slice).unwrap_or_default();
        if items.is_empty() {
            return String::new();
        }
        items.iter().fold(format!("\n{heading}\n"), |text, item| text + "  " + &line(item) + "\n")
    };
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text += &lines("boot_sets", "boot sets", |set| {
        let optional =
            |key: &str| set[key].as_str().map_or_else(String::new, |text| format!("\n    {key}: {text}"));
        let fields = ["kernel", "initrd", "kernel_parameters", "configuration"].map(optional).concat();
        format!("{} ({}): {}{fields}", text_of(&set["name"]), set["count"], text_of(&set["components"]))
    });
    let decided = [
        ("power_cycled", "would be power-cycled"),
        ("powered_on", "would be powered on"),
        ("powered_off", "would be powered off"),
        ("untouched", "would not be powered"),
        ("unknown_artifacts", "run nobody knows what (see --unknown)"),
        ("unknown_power", "have no power state that is known"),
    ];
    let told = decided.iter().filter_map(|(key, words)| {
        let who = &plan["forecast"][*key];
        let count = who["count"].as_u64().filter(|count| *count > 0)?;
        Some(format!("  {} {words}: {}\n", nodes(count), text_of(&who["components"])))
    });
    let told: String = told.collect();
    if !told.is_empty() {
        text += &format!("\nby what power control and the nodes say now\n{told}");
    }
    text += &lines("skipped", "skipped", |skip| {
        format!("{} ({}): {}", text_of(&skip["reason"]), skip["count"], text_of(&skip["components"]))
    });
    text += &lines("conflicts", "held by other sessions", |conflict| {
        format!(
            "{} ({}): {}",
            text_of(&conflict["session"]),
            conflict["count"],
            text_of(&conflict["components"])
        )
    });
    text += &lines("notes", "notes", |note| text_of(note).to_owned());
    text += &format!("\n{}", plain(&plan["tree"]));
    text += &times(plan);
    if let Some(hash) = plan["plan_hash"].as_str() {
        text += &format!("\nplan {hash}\nto run exactly this: bosun session create … --plan-hash {hash}\n");
    }
    text
}

fn nodes(count: u64) -> String {
    if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") }
}

/// What the steps call, and how long they take by what is past.
fn times(plan: &Value) -> String {
    let steps = plan["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    if steps.is_empty() {
        return String::new();
    }
    let columns = [
        Column::Text("STEP"),
        Column::Number("CALLS"),
        Column::Text("HALF WITHIN"),
        Column::Text("95 % WITHIN"),
        Column::Number("NODES TIMED"),
    ];
    let rows = steps.iter().map(|step| {
        let expected = &step["expected"];
        let time = |key: &str| match expected[key].as_f64() {
            None => "no history".to_owned(),
            Some(seconds) => duration(seconds),
        };
        let number = |value: &Value| value.as_u64().map_or_else(String::new, |number| number.to_string());
        vec![
            text_of(&step["name"]).to_owned(),
            number(&step["calls_at_most"]),
            time("p50_seconds"),
            time("p95_seconds"),
            number(&expected["timed_components"]),
        ]
    });
    format!("\n{}", output::table(&columns, rows))
}

/// In tenths of a second, and from ten seconds on in whole ones: the histograms it comes from are no finer.
fn duration(seconds: f64) -> String {
    let tick = if seconds < 10.0 { 0.1 } else { 1.0 };
    let rounded = std::time::Duration::try_from_secs_f64((seconds / tick).round() * tick).unwrap_or_default();
    let milliseconds = u64::try_from((rounded + std::time::Duration::from_micros(500)).as_millis());
    humantime::format_duration(std::time::Duration::from_millis(milliseconds.unwrap_or_default())).to_string()
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
