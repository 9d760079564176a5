//! Every run of every session keeps the laws, whatever the services, the nodes, the operators and death do.

use proptest::{collection::vec, prelude::*};

use super::{
    Layout,
    driver::{Driver, Order, Script},
    plan,
    world::Nature,
};
use crate::model::{
    command::Command,
    plan::{Ordinal, StepNo},
};

fn nature() -> impl Strategy<Value = Nature> {
    let rare = || prop_oneof![9 => Just(false), 1 => Just(true)];
    let few = || prop_oneof![6 => Just(0), 1 => 1..5_u8];
    let flags = (any::<bool>(), any::<bool>(), rare(), rare(), rare(), rare(), rare(), rare());
    (flags, few(), few(), few()).prop_map(|(flags, reserved, flaky, hangs)| {
        let (on, current, refused, poisons, deaf, strange, mute, misconfigured) = flags;
        Nature { on, current, refused, poisons, deaf, reserved, flaky, hangs, strange, mute, misconfigured }
    })
}

fn whom() -> impl Strategy<Value = Vec<Ordinal>> {
    vec(0..12_u32, 0..4).prop_map(|mut members| {
        members.sort_unstable();
        members.dedup();
        members.into_iter().map(Ordinal).collect()
    })
}

fn order() -> impl Strategy<Value = Order> {
    let step = || (0..8_i16).prop_map(StepNo);
    prop_oneof![
        2 => Just(Order::Command(Command::Pause)),
        2 => Just(Order::Command(Command::Resume)),
        1 => Just(Order::Command(Command::Cancel)),
        2 => (whom(), proptest::option::of(step()))
            .prop_map(|(members, from)| Order::Command(Command::Retry { members, from })),
        1 => (whom(), step()).prop_map(|(members, step)| Order::Command(Command::Restart { step, members })),
        1 => (whom(), proptest::option::of(step()))
            .prop_map(|(members, step)| Order::Command(Command::Skip { members, step })),
        1 => whom().prop_map(Order::Wanted),
    ]
}

#[derive(Debug, Clone)]
struct Case {
    operation: &'static str,
    layout: Layout,
    script: Script,
    retried: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let operation = prop_oneof![
        4 => Just("reboot"), 2 => Just("boot"), 1 => Just("shutdown"), 1 => Just("configure")
    ];
    let layout = prop_oneof![
        2 => Just(Layout::One), 1 => Just(Layout::Two), 2 => Just(Layout::Ordered), 1 => Just(Layout::Waves)
    ];
    let services = prop_oneof![Just("pcs"), Just("bss"), Just("cfs"), Just("hsm"), Just("ims")];
    let script = (
        vec(nature(), 2..12),
        vec(any::<u8>(), 0..400),
        vec((0..1500_u16, order()), 0..4),
        vec((0..60_u8, 0..4_u8), 0..8),
        vec((services, 0..1200_u16, 1..3000_u16), 0..2),
    );
    (operation, layout, script, any::<bool>()).prop_map(|(operation, layout, script, retried)| {
        let (natures, tape, mut orders, kills, outages) = script;
        let members = natures.len() as u32;
        for (_, order) in &mut orders {
            match order {
                Order::Wanted(whom)
                | Order::Command(
                    Command::Retry { members: whom, .. }
                    | Command::Restart { members: whom, .. }
                    | Command::Skip { members: whom, .. },
                ) => whom.retain(|ordinal| ordinal.0 < members),
                Order::Command(_) => {}
            }
        }
        let script = Script { natures, tape, orders, kills, outages };
        Case { operation, layout, script, retried }
    })
}

// `PROPTEST_CASES` asks for more sessions.
proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn every_session_keeps_the_laws(case in case()) {
        let plan = plan(case.operation, case.layout, case.script.natures.len() as u32);
        let mut script = case.script;
        for (_, order) in &mut script.orders {
            if let Order::Command(
                Command::Retry { from: Some(step), .. }
                | Command::Restart { step, .. }
                | Command::Skip { step: Some(step), .. },
            ) = order
            {
                step.0 %= plan.steps.len() as i16;
            }
        }
        let mut driver = Driver::new(plan, script);
        driver.drive_to_end();
        if case.retried {
            driver.retry_ended();
            driver.drive_to_end();
        }
    }
}
