//! The steps of a plan as a drawing: a lane per boot set, time from left to right, barriers dashed. Pure.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{part, words};
use crate::{
    api::bosun::view,
    db::step::StepRow,
    model::{
        plan::{EdgeKind, Plan, StepNo},
        session::SessionState,
    },
};

const BOX_WIDTH: i32 = 174;
const BOX_HEIGHT: i32 = 66;
/// Longest name that fits beside the sign in any font; a longer one is drawn as wide as there is room.
const NAME_CHARS: usize = 17;
const NAME_WIDTH: i32 = BOX_WIDTH - 12 - 34;
const GAP_X: i32 = 26;
const GAP_Y: i32 = 16;
/// Above the boxes of a lane, for its name.
const LANE_HEAD: i32 = 30;
const LANE_GAP: i32 = 18;
const MARGIN: i32 = 12;
/// Below the last lane: room for the arcs that lead back.
const FOOT: i32 = 24;

/// Where the boxes are.
struct Drawing {
    boxes: Vec<(i32, i32)>,
    /// The y of each lane, and its height.
    lanes: Vec<(i32, i32)>,
    width: i32,
    height: i32,
}

/// Draws a plan; with `rows`, also how far it is, and which barriers have opened.
pub fn draw(
    plan: &Plan,
    rows: Option<&[StepRow]>,
    opened: &[(StepNo, StepNo)],
    session: SessionState,
) -> Markup {
    let drawing = place(plan);
    let waves = plan.slices.iter().any(|slice| slice.wave > 0);
    let title =
        format!("The steps of the session: {} steps in {} boot sets", plan.steps.len(), plan.slices.len());
    html! {
        div.scroll tabindex="0" role="group" aria-label="Graph of the steps" {
            svg.dag viewBox=(format!("0 0 {} {}", drawing.width, drawing.height)) width=(drawing.width)
                height=(drawing.height) role="img" aria-label=(title) {
                @for (slice, (y, height)) in plan.slices.iter().zip(&drawing.lanes) {
                    rect.lane x="1" y=(y) width=(drawing.width - 2) height=(height) rx="10" {}
                    text.lane-name x=(MARGIN) y=(y + 20) {
                        (slice.boot_set)
                        @if waves { " · wave " (slice.wave + 1) }
                    }
                }
                @for edge in &plan.edges {
                    (line(&drawing, edge.from, edge.to, edge.kind, opened.contains(&(edge.from, edge.to))))
                }
                @for (number, step) in (0..).map(StepNo).zip(&plan.steps) {
                    @if let Some(again) = &step.again { (back(&drawing, number, again.from)) }
                }
                @for (at, step) in plan.steps.iter().enumerate() {
                    (vertex(drawing.boxes[at], &step.name, rows.and_then(|rows| rows.get(at)), session))
                }
            }
        }
    }
}

fn place(plan: &Plan) -> Drawing {
    let mut ranks = vec![0_i32; plan.steps.len()];
    for edge in &plan.edges {
        if edge.kind == EdgeKind::PerComponent {
            ranks[index(edge.to.0)] = ranks[index(edge.to.0)].max(ranks[index(edge.from.0)] + 1);
        }
    }
    let mut boxes = vec![(0, 0); plan.steps.len()];
    let mut lanes = Vec::with_capacity(plan.slices.len());
    let mut y = 1;
    for slice in 0..plan.slices.len() {
        let mut filled: BTreeMap<i32, i32> = BTreeMap::new();
        for (at, _) in plan.steps.iter().enumerate().filter(|(_, step)| index(step.slice.0) == slice) {
            let row = filled.entry(ranks[at]).or_default();
            boxes[at] =
                (MARGIN + ranks[at] * (BOX_WIDTH + GAP_X), y + LANE_HEAD + *row * (BOX_HEIGHT + GAP_Y));
            *row += 1;
        }
        let rows = filled.values().copied().max().unwrap_or(1);
        let height = LANE_HEAD + rows * (BOX_HEIGHT + GAP_Y) - GAP_Y + FOOT;
        lanes.push((y, height));
        y += height + LANE_GAP;
    }
    let columns = ranks.iter().copied().max().unwrap_or(0) + 1;
    let width = 2 * MARGIN + columns * (BOX_WIDTH + GAP_X) - GAP_X;
    Drawing { boxes, lanes, width, height: (y - LANE_GAP + 1).max(1) }
}

/// An edge: from the right of a box to the left of another.
fn line(drawing: &Drawing, from: StepNo, to: StepNo, kind: EdgeKind, is_open: bool) -> Markup {
    let (x1, y1) = drawing.boxes[index(from.0)];
    let (x2, y2) = drawing.boxes[index(to.0)];
    let (x1, y1, y2) = (x1 + BOX_WIDTH, y1 + BOX_HEIGHT / 2, y2 + BOX_HEIGHT / 2);
    let bend = ((x2 - x1) / 2).max(GAP_X / 2);
    let path = format!("M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}", x1 + bend, x2 - bend);
    match kind {
        EdgeKind::PerComponent => html! { path.edge d=(path) {} },
        EdgeKind::Barrier { threshold_percent } => html! {
            path class={ "edge barrier " (if is_open { "open" } else { "closed" }) } d=(path) {
                title {
                    "Barrier: waits until all before it have settled"
                    @if threshold_percent > 0 { ", " (threshold_percent) " % of them well" }
                    (if is_open { " (open)" } else { " (closed)" })
                }
            }
        },
    }
}

/// An arc from below a step to below the one that its failed components are sent back to.
fn back(drawing: &Drawing, from: StepNo, to: StepNo) -> Markup {
    let (x1, y1) = drawing.boxes[index(from.0)];
    let (x2, y2) = drawing.boxes[index(to.0)];
    let (x1, x2) = (x1 + BOX_WIDTH / 2, x2 + BOX_WIDTH / 2);
    let (y1, y2) = (y1 + BOX_HEIGHT, y2 + BOX_HEIGHT);
    let lane = drawing.lanes.iter().find(|(y, height)| (*y..y + height).contains(&y1));
    let low = lane.map_or(y1.max(y2), |(y, height)| y + height) + FOOT / 3;
    let path = format!("M{x1} {y1}C{x1} {low} {x2} {low} {x2} {y2}");
    html! { path.edge.again d=(path) { title { "Failed components may be sent back" } } }
}

fn vertex((x, y): (i32, i32), name: &str, row: Option<&StepRow>, session: SessionState) -> Markup {
    let short = name.rsplit_once('/').map_or(name, |(_, step)| step);
    let Some(row) = row else {
        return html! {
            g.step transform=(format!("translate({x} {y})")) {
                rect.box width=(BOX_WIDTH) height=(BOX_HEIGHT) rx="8" {}
                text.step-name x="12" y="38" { (words::plain(short)) }
            }
        };
    };
    let counters = &row.counters;
    let settled = counters.succeeded + counters.failed + counters.skipped;
    let targeted = settled + counters.in_flight + counters.not_reached;
    let state = view::step_state(counters, session);
    let track = BOX_WIDTH - 24;
    let wide = |count: i32| words::share(count, targeted) / 100.0 * f64::from(track);
    let parts = [
        ("done", counters.succeeded),
        ("failed", counters.failed),
        ("skipped", counters.skipped),
        ("flight", counters.in_flight),
    ];
    let mut left = 12.0;
    let placed: Vec<(&str, f64, f64)> = parts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(class, count)| {
            let at = left;
            left += wide(*count);
            (*class, at, wide(*count))
        })
        .collect();
    html! {
        g class={ "step is-" (state) } transform=(format!("translate({x} {y})")) data-step=(name) {
            title {
                (name) ": " (words::plain(state)) ", " (words::number(counters.succeeded)) " through, "
                (words::number(counters.failed)) " failed, " (words::number(counters.skipped)) " left out, "
                (words::number(counters.in_flight)) " under way, " (words::number(counters.not_reached))
                " not reached"
            }
            rect.box width=(BOX_WIDTH) height=(BOX_HEIGHT) rx="8" {}
            text.step-name x="12" y="22" textLength=[is_long(short).then_some(NAME_WIDTH)] lengthAdjust="spacingAndGlyphs" {
                (words::plain(short))
            }
            g transform=(format!("translate({} 9)", BOX_WIDTH - 26)) { (part::icon(state)) }
            text.step-count x="12" y="41" {
                (words::number(settled)) " / " (words::number(targeted))
                @if counters.in_flight > 0 {
                    tspan.dim { " · " (words::number(counters.in_flight)) (if targeted < 1_000 { " in flight" } else { " in" }) }
                }
                @if counters.failed > 0 { tspan.bad { " · " (words::number(counters.failed)) " failed" } }
            }
            rect.bar-bed x="12" y="50" width=(track) height="6" rx="3" {}
            @for (class, at, width) in placed {
                rect class={ "fill-" (class) } x=(format!("{at:.2}")) y="50" width=(format!("{width:.2}")) height="6" rx="1.5" {}
            }
        }
    }
}

/// Whether a name would reach the sign beside it in a wide font.
fn is_long(name: &str) -> bool {
    name.chars().count() > NAME_CHARS
}

fn index(number: i16) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{
        plan::{Edge, Slice, SliceNo, Step},
        verb::Verb,
    };

    fn plan(boot_set: &str) -> Plan {
        let step = |name: &str| Step {
            name: format!("{boot_set}/{name}"),
            verb: Verb::AwaitBoot {},
            slice: SliceNo(0),
            when: Vec::new(),
            timeout: Duration::from_secs(1),
            attempts: 1,
            again: None,
        };
        let edge = |from, to| Edge { from: StepNo(from), to: StepNo(to), kind: EdgeKind::PerComponent };
        Plan {
            slices: vec![Slice {
                boot_set: boot_set.to_owned(),
                wave: 0,
                artifacts: None,
                configuration: None,
            }],
            steps: ["a", "b", "c", "d"].map(step).to_vec(),
            edges: vec![edge(0, 1), edge(0, 2), edge(1, 3), edge(2, 3)],
            ..Plan::default()
        }
    }

    #[test]
    fn what_may_go_on_at_once_stands_one_below_the_other() {
        let drawing = place(&plan("compute"));
        let [a, b, c, d] = drawing.boxes[..] else { panic!("four boxes") };
        assert!(a.0 < b.0 && b.0 == c.0 && c.0 < d.0, "{:?}", drawing.boxes);
        assert!(b.1 + BOX_HEIGHT < c.1 && a.1 == b.1);
        assert!(d.0 + BOX_WIDTH < drawing.width && c.1 + BOX_HEIGHT < drawing.height);
    }

    #[test]
    fn a_hostile_boot_set_is_text() {
        let drawn =
            draw(&plan("</svg><script>alert(1)</script>"), None, &[], SessionState::Running).into_string();
        assert!(!drawn.contains("<script>") && drawn.contains("&lt;script&gt;"), "{drawn}");
        assert_eq!(drawn.matches("class=\"edge\"").count(), 4);
    }
}
