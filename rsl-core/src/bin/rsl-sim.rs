//! `rsl-sim`: runs seeds through the simulator and says which ones break a rule.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rsl_core::sim::{Outcome, Profile, shrink, simulate};

const USAGE: &str = "usage: rsl-sim --seeds FROM..TO [--profile ci|nightly|mixed] [--json] [--keep-going]
       rsl-sim --seed N [--profile ci|nightly|mixed] [--log full]

Every seed is one simulated cluster. Exit code 1 when a rule was broken; the seed and the command that replays it are
printed. The same seed always goes the same way: its trace hash says so.";

/// Runs that are spent on leaving out faults of a failing seed.
const SHRINK: usize = 200;

struct Options {
    seeds: std::ops::Range<u64>,
    profile: Profile,
    json: bool,
    keep_going: bool,
    log: bool,
}

fn parse() -> Option<Options> {
    let mut options =
        Options { seeds: 0..0, profile: Profile::Ci, json: false, keep_going: false, log: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seeds" => {
                let value = arguments.next()?;
                let (from, to) = value.split_once("..")?;
                options.seeds = from.parse().ok()?..to.parse().ok()?;
            }
            "--seed" => {
                let seed: u64 = arguments.next()?.parse().ok()?;
                options.seeds = seed..seed.checked_add(1)?;
            }
            "--profile" => {
                options.profile = match arguments.next()?.as_str() {
                    "ci" => Profile::Ci,
                    "nightly" => Profile::Nightly,
                    "mixed" => Profile::Mixed,
                    _ => return None,
                };
            }
            "--log" => options.log = arguments.next()? == "full",
            "--json" => options.json = true,
            "--keep-going" => options.keep_going = true,
            _ => return None,
        }
    }
    (!options.seeds.is_empty()).then_some(options)
}

const fn name(profile: Profile) -> &'static str {
    match profile {
        Profile::Ci => "ci",
        Profile::Nightly => "nightly",
        Profile::Mixed => "mixed",
    }
}

fn main() -> ExitCode {
    let Some(options) = parse() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // A panic is a finding, reported with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    let started = Instant::now();
    let mut outcomes = Vec::new();
    let mut failures: Vec<Outcome> = Vec::new();
    for seed in options.seeds.clone() {
        let outcome = if options.log {
            simulate(seed, options.profile, Some(&mut |line| println!("{line}")))
        } else {
            simulate(seed, options.profile, None)
        };
        if outcome.violation.is_some() {
            if !options.json {
                explain(&outcome, options.profile);
            }
            failures.push(outcome.clone());
        }
        outcomes.push(outcome);
        if !failures.is_empty() && !options.keep_going {
            break;
        }
    }
    let elapsed = cpu_time().unwrap_or_else(|| started.elapsed());
    if options.json {
        println!("{}", json(&outcomes, &failures, options.profile, elapsed));
    } else {
        summary(&outcomes, failures.len(), elapsed);
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The one command that shows a seed again, event for event.
fn replay(seed: u64, profile: Profile) -> String {
    let simulator = "cargo run --release --package rsl-core --features sim --bin rsl-sim --";
    format!("{simulator} --seed {seed} --profile {} --log full", name(profile))
}

fn explain(outcome: &Outcome, profile: Profile) {
    let Some(violation) = &outcome.violation else { return };
    println!("seed {}: {violation}", outcome.seed);
    println!("  trace: {:016x}", outcome.trace);
    println!("  replay: {}", replay(outcome.seed, profile));
    if let Some(faults) = shrink(outcome.seed, profile, SHRINK) {
        println!("  faults that are needed: {}", if faults.is_empty() { "none" } else { "" });
        for fault in faults {
            println!("    {fault}");
        }
    }
}

/// What this process, which has one thread, has computed so far: what it waits for others is not its speed. `None` where
/// the system does not say so in `/proc`: then the clock on the wall counts.
fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name of the program, which may hold anything: user and system time, in hundredths of a second.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * 10))
}

fn simulated(outcomes: &[Outcome]) -> Duration {
    outcomes.iter().map(|outcome| outcome.simulated).sum()
}

/// Sums of all counts, with their names.
fn totals(outcomes: &[Outcome]) -> Vec<(&'static str, u64)> {
    let mut totals: Vec<(&'static str, u64)> = Vec::new();
    for outcome in outcomes {
        for (index, (name, count)) in outcome.counts.named().into_iter().enumerate() {
            match totals.get_mut(index) {
                Some(total) => total.1 += count,
                None => totals.push((name, count)),
            }
        }
    }
    totals
}

/// A hash over the trace hashes of all seeds.
fn trace(outcomes: &[Outcome]) -> u64 {
    outcomes.iter().fold(0, |hash: u64, outcome| {
        (hash ^ outcome.trace).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31)
    })
}

fn summary(outcomes: &[Outcome], failures: usize, elapsed: Duration) {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let simulated = simulated(outcomes).as_secs_f64();
    println!(
        "{} seeds, {failures} failed, trace {:016x}; {:.1} s, {:.0} seeds and {:.1} simulated hours per CPU minute",
        outcomes.len(),
        trace(outcomes),
        seconds,
        outcomes.len() as f64 * 60.0 / seconds,
        simulated / 60.0 / seconds,
    );
    let totals: Vec<_> = totals(outcomes).iter().map(|(name, count)| format!("{name} {count}")).collect();
    println!("{}", totals.join(", "));
}

fn json(outcomes: &[Outcome], failures: &[Outcome], profile: Profile, elapsed: Duration) -> String {
    let quote = |text: &str| {
        let escape = |c: char| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        };
        format!("\"{}\"", text.chars().map(escape).collect::<String>())
    };
    let failed: Vec<_> = failures
        .iter()
        .filter_map(|outcome| {
            let violation = outcome.violation.as_ref()?;
            let faults = shrink(outcome.seed, profile, SHRINK).unwrap_or_default();
            let faults: Vec<_> = faults.iter().map(|fault| quote(fault)).collect();
            Some(format!(
                "{{\"seed\":{},\"trace\":\"{:016x}\",\"rule\":{},\"text\":{},\"replay\":{},\"faults\":[{}]}}",
                outcome.seed,
                outcome.trace,
                quote(violation.rule),
                quote(&violation.text),
                quote(&replay(outcome.seed, profile)),
                faults.join(",")
            ))
        })
        .collect();
    let counts: Vec<_> =
        totals(outcomes).iter().map(|(name, count)| format!("{}:{count}", quote(name))).collect();
    format!(
        "{{\"ok\":{},\"profile\":{},\"seeds\":{},\"trace\":\"{:016x}\",\"seconds\":{:.3},\"simulated_seconds\":{:.3},\"simulated_hours_per_cpu_minute\":{:.1},\"counts\":{{{}}},\"failures\":[{}]}}",
        failures.is_empty(),
        quote(name(profile)),
        outcomes.len(),
        trace(outcomes),
        elapsed.as_secs_f64(),
        simulated(outcomes).as_secs_f64(),
        simulated(outcomes).as_secs_f64() / 60.0 / elapsed.as_secs_f64().max(0.001),
        counts.join(","),
        failed.join(",")
    )
}
