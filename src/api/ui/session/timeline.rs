//! The steps of a session in time: when each began and ended, and when half and 95 % of its components were settled.

use maud::{Markup, html};

use crate::{
    api::{
        bosun::view,
        ui::{part, words},
    },
    db::{result::Pace, session::Session, step::StepRow},
    model::Timestamp,
};

/// The span of time that is shown.
struct Axis {
    start: Timestamp,
    end: Timestamp,
    seconds: f64,
}

impl Axis {
    fn of(session: &Session) -> Self {
        let start = session.started_at.unwrap_or(session.created_at);
        let end = session.ended_at.unwrap_or(session.now);
        Self { start, end, seconds: words::between(start, end).max(0.001) }
    }

    /// Where a moment is, in per cent.
    fn at(&self, moment: Timestamp) -> f64 {
        (100.0 * words::between(self.start, moment) / self.seconds).clamp(0.0, 100.0)
    }

    /// Four to eight round times.
    fn ticks(&self) -> Vec<f64> {
        const STEPS: [f64; 18] = [
            0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0,
            7_200.0, 21_600.0, 86_400.0, 604_800.0,
        ];
        let step = STEPS.into_iter().find(|step| self.seconds / step <= 7.0).unwrap_or(self.seconds / 4.0);
        (1_u32..).map(|n| f64::from(n) * step).take_while(|at| at / self.seconds < 0.97).take(8).collect()
    }
}

/// A row per step.
pub fn table(session: &Session, steps: &[StepRow], paces: &[Pace]) -> Markup {
    let axis = Axis::of(session);
    html! {
        div.scroll tabindex="0" role="group" aria-label="Table of steps" {
            table.list.timeline {
                thead {
                    tr {
                        th scope="col" { "Step" }
                        th scope="col" { "State" }
                        th.number scope="col" { "Settled" }
                        th.number scope="col" { "Failed" }
                        th.number scope="col" { "Calls" }
                        th.number scope="col" { "Took" }
                        th.gantt scope="col" { span.unseen { "When" } (scale(&axis)) }
                    }
                }
                tbody {
                    @for step in steps {
                        @let pace = paces.iter().find(|pace| pace.step == step.counters.step);
                        (row(session, &axis, step, pace))
                    }
                }
            }
        }
        p.key {
            span { svg width="26" height="14" aria-hidden="true" { rect.fill-span y="3" width="26" height="8" rx="3" {} } " from the first to the last node" }
            span { svg width="8" height="14" aria-hidden="true" { rect.mark x="3" width="2" height="14" {} } " half of the nodes settled (p50)" }
            span { svg width="10" height="14" aria-hidden="true" { path.mark-late d="M5 1l4 6-4 6-4-6z" {} } " 95 % settled (p95)" }
        }
    }
}

fn scale(axis: &Axis) -> Markup {
    html! {
        svg.axis width="100%" height="16" aria-hidden="true" {
            text x="0" y="12" { "0" }
            @for tick in axis.ticks() {
                text x=(part::percent(100.0 * tick / axis.seconds)) y="12" text-anchor="middle" { (short(tick)) }
            }
        }
    }
}

fn short(seconds: f64) -> String {
    if seconds < 1.0 { format!("{seconds:.1}s") } else { whole(seconds as u64) }
}

fn whole(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        60..3_600 => format!("{}m{:02}", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}", seconds / 3_600, seconds % 3_600 / 60),
    }
}

fn row(session: &Session, axis: &Axis, step: &StepRow, pace: Option<&Pace>) -> Markup {
    let counters = &step.counters;
    let state = view::step_state(counters, session.state);
    let targeted = view::targeted(counters);
    let settled = targeted - counters.not_reached - counters.in_flight;
    let span = step.started_at.map(|start| (start, step.ended_at.unwrap_or(axis.end).max(start)));
    let says = |at: Timestamp| words::seconds(words::between(axis.start, at));
    html! {
        tr {
            th.name scope="row" { (step.name) }
            td { (part::badge(state)) }
            td.number { (words::number(settled)) span.dim { " / " (words::number(targeted)) } }
            td.number {
                @if counters.failed > 0 { strong.bad { (words::number(counters.failed)) } } @else { span.dim { "0" } }
            }
            td.number { (words::number(counters.attempts)) }
            td.number {
                @match span {
                    Some((start, end)) => { (words::seconds(words::between(start, end))) },
                    None => { (part::dash()) },
                }
            }
            td.gantt {
                @if let Some((start, end)) = span {
                    @let (left, right) = (axis.at(start), axis.at(end));
                    svg.span width="100%" height="22" role="img" aria-label={
                        "from " (says(start)) " to " (says(end))
                        @if let Some(pace) = pace { ", half settled at " (says(pace.half_at)) ", 95 % at " (says(pace.most_at)) }
                    } {
                        @for tick in axis.ticks() {
                            line.grid x1=(part::percent(100.0 * tick / axis.seconds)) x2=(part::percent(100.0 * tick / axis.seconds)) y1="0" y2="22" {}
                        }
                        @let solid = pace.map_or(right, |pace| axis.at(pace.most_at));
                        rect class={ "fill-span is-" (state) } x=(part::percent(left)) width=(part::percent((solid - left).max(0.4))) y="6" height="10" rx="3" {}
                        rect class={ "fill-span tail is-" (state) } x=(part::percent(left)) width=(part::percent((right - left).max(0.4))) y="6" height="10" rx="3" {}
                        @if let Some(pace) = pace {
                            rect.mark x=(part::percent(axis.at(pace.half_at))) y="2" width="2" height="18" { title { "half settled at " (says(pace.half_at)) } }
                            svg x=(part::percent(axis.at(pace.most_at))) overflow="visible" {
                                path.mark-late d="M0 5l4 6-4 6-4-6z" { title { "95 % settled at " (says(pace.most_at)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        let ticks = |seconds| {
            let start = Timestamp::UNIX_EPOCH;
            Axis { start, end: start, seconds }.ticks()
        };
        assert_eq!(ticks(33.0), [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]);
        assert_eq!(ticks(4_000.0), [600.0, 1_200.0, 1_800.0, 2_400.0, 3_000.0, 3_600.0]);
        assert!((1..9).contains(&ticks(1_000_000.0).len()) && ticks(0.3).is_empty());
        assert_eq!(
            (short(0.5), short(90.0), short(300.0), short(5_400.0)),
            ("0.5s".to_owned(), "1m30".to_owned(), "5m".to_owned(), "1h30".to_owned())
        );
    }
}
