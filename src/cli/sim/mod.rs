//! `glasstcp sim`: stacks in virtual time, over any network that an option or a file describes.

mod args;
mod pcap;
mod plot;
mod report;
mod scenario;
pub(super) mod units;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub(super) use args::{EXAMPLES, Sim};

use super::{Failure, print, say};
use crate::sim::{Experiment, Outcome, Plan};
use pcap::Captures;

/// Runs the command.
pub(super) fn run(args: Sim) -> Result<ExitCode, Failure> {
    let mut options = args.options;
    scenario::merged(args.scenario.as_deref(), &mut options)?;
    let mut plan = scenario::plan(&options)?;
    plan.keep_series = args.plot.is_some();
    let mut captures = args.pcap.as_deref().map(|directory| Captures::begin(directory, &plan.topology)).transpose()?;
    let outcome = simulate(&plan, captures.as_mut(), args.quiet)?;
    captures.map(Captures::finish).transpose()?;
    if let (Some(path), Some(series)) = (&args.plot, &outcome.series) {
        let drawn = plot::draw(&plan, &outcome, series)?;
        std::fs::write(path, drawn).map_err(|error| format!("--plot {}: {error}", path.display()))?;
    }
    print(&if args.json { report::json(&outcome) } else { report::text(&outcome) })?;
    let failed = outcome.flows.iter().any(|flow| flow.failed.is_some());
    Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Steps of virtual time between two looks at the clock.
const STEPS: u32 = 1_000;
/// Real time before the first word of progress, and between two.
const PATIENCE: Duration = Duration::from_secs(1);

fn simulate(plan: &Plan, captures: Option<&mut Captures>, quiet: bool) -> Result<Outcome, Failure> {
    let spy = captures.map(|captures| captures as &mut dyn crate::sim::Spy);
    let mut experiment = Experiment::new(plan.clone(), spy)?;
    let shows = !quiet && io::stderr().is_terminal();
    let (mut last, mut shown) = (Instant::now(), false);
    for step in 1..=STEPS {
        let until = plan.duration * step / STEPS;
        if !experiment.run_until(until) {
            break;
        }
        if shows && last.elapsed() >= PATIENCE {
            let percent = step * 100 / STEPS;
            let _ = write!(
                io::stderr(),
                "\r{:>6.1} s of {:.1} s, {percent} %",
                until.as_secs_f64(),
                plan.duration.as_secs_f64()
            );
            (last, shown) = (Instant::now(), true);
        }
    }
    if shown {
        say("");
    }
    Ok(experiment.finish())
}
