//! The rehearsal as one HTML page without anything from outside: pictures of roles, requests and decrees over time, and
//! the tables, for a change request.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::checks::{Check, Verdict};
use super::report::{AtEnd, Rehearsal};
use super::sampler::{Sample, Seen, without_primary};

/// The drawing, in units of the picture.
const LEFT: f64 = 80.0;
const WIDTH: f64 = 1000.0;
const LANE: f64 = 26.0;
const CHART: f64 = 130.0;
/// Bars of the chart of requests.
const BARS: u32 = 160;
/// Points of a line, at most.
const POINTS: usize = 400;

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;color:#1c2430;background:#fff;max-width:1120px;margin:24px auto;\
padding:0 16px}h1{font-size:22px;margin:0 0 4px}h2{font-size:16px;margin:28px 0 8px}table{border-collapse:collapse;\
width:100%}th,td{text-align:left;padding:4px 8px;border-bottom:1px solid #e3e7ec}th{font-weight:600;color:#566273}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}code{font:12px ui-monospace,monospace;word-break:break-all}\
.badge{display:inline-block;padding:2px 12px;border-radius:4px;color:#fff;font-weight:600}.good{background:#1a7f4b}\
.bad{background:#b42318}.cards{display:flex;flex-wrap:wrap;gap:12px;margin:16px 0}.card{border:1px solid #e3e7ec;\
border-radius:6px;padding:8px 14px;min-width:150px}.card b{display:block;font-size:20px}.card span{color:#566273}\
svg{width:100%;height:auto;display:block}svg text{font:11px system-ui,sans-serif;fill:#566273}.key i{display:inline-block;\
width:12px;height:12px;border-radius:2px;margin:0 5px 0 14px;vertical-align:-1px}.problem{color:#b42318}";

const LINES: [&str; 9] =
    ["#2563a8", "#c2570c", "#1a7f4b", "#8b3fa8", "#a8862b", "#0f7c86", "#b0306a", "#5b6470", "#6a4fc4"];

fn colour(seen: Seen) -> &'static str {
    match seen {
        Seen::Down => "#d9dee5",
        Seen::Inactive => "#aab4c0",
        Seen::Initializing => "#f0b429",
        Seen::Preparing => "#e8722c",
        Seen::Secondary => "#8fb8e8",
        Seen::Elected => "#7cc39b",
        Seen::Primary => "#1a7f4b",
        Seen::CutOff => "#b0306a",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Time to place.
struct Scale {
    began: Instant,
    total: f64,
}

impl Scale {
    fn of(rehearsal: &Rehearsal) -> Scale {
        let total = (rehearsal.ended - rehearsal.began).as_secs_f64();
        Scale { began: rehearsal.began, total: total.max(0.001) }
    }

    fn x(&self, at: Instant) -> f64 {
        let since = at.saturating_duration_since(self.began).as_secs_f64().min(self.total);
        LEFT + since / self.total * (WIDTH - LEFT - 10.0)
    }

    /// Full seconds for marks, about ten of them.
    fn marks(&self) -> impl Iterator<Item = (f64, String)> + '_ {
        let steps = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1800.0];
        let step = steps.into_iter().find(|step| self.total / step <= 12.0).unwrap_or(3600.0);
        (0..=12u32).map(move |number| f64::from(number) * step).filter(|at| *at <= self.total).map(
            move |at| {
                let text = if step < 1.0 { format!("{at:.1} s") } else { format!("{at:.0} s") };
                (LEFT + at / self.total * (WIDTH - LEFT - 10.0), text)
            },
        )
    }
}

/// The page.
pub(super) fn page(rehearsal: &Rehearsal) -> String {
    let scale = Scale::of(rehearsal);
    let title = format!("Upgrade rehearsal: {}", escape(&rehearsal.name));
    let (class, verdict) = if rehearsal.ok() { ("good", "OK") } else { ("bad", "FAILED") };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <link rel=\"icon\" href=\"data:,\"><style>{STYLE}</style></head><body>\n\
         <h1>{title} <span class=\"badge {class}\">{verdict}</span></h1><p>{}</p>\n\
         <p>old host: <code>{}</code><br>new host: <code>{}</code><br>protocol version at the beginning: {}<br>played with rsl \
         {} on {}</p>\n",
        escape(&rehearsal.title),
        escape(&rehearsal.old),
        escape(&rehearsal.new),
        rehearsal.version,
        env!("CARGO_PKG_VERSION"),
        rehearsal.date
    );
    cards(&mut page, rehearsal);
    checks(&mut page, rehearsal);
    page += "<h2>Roles</h2>\n";
    roles(&mut page, rehearsal, &scale);
    page += "<h2>Requests acknowledged per second</h2>\n";
    requests(&mut page, rehearsal, &scale);
    page += "<h2>Decrees executed</h2>\n";
    decrees(&mut page, rehearsal, &scale);
    steps(&mut page, rehearsal);
    replicas(&mut page, rehearsal);
    directories(&mut page, rehearsal);
    page += "</body></html>\n";
    page
}

fn checks(page: &mut String, rehearsal: &Rehearsal) {
    *page +=
        "<h2>Checks</h2>\n<table><tr><th>what must be so</th><th class=\"n\">looked at</th><th></th></tr>\n";
    for check in Check::ALL {
        let (looked_at, verdict) = rehearsal.verdict(check);
        let class = if verdict == Verdict::Failed { "problem" } else { "" };
        let shown = rehearsal.problems.shown(check);
        let found: Vec<String> = shown.iter().map(|why| format!("<br>{}", escape(why))).collect();
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td class=\"n\">{looked_at} {}</td><td class=\"{class}\">{}{}</td></tr>",
            check.text(),
            check.unit(),
            verdict.word(),
            found.join("")
        );
    }
    *page += "</table>\n";
}

fn cards(page: &mut String, rehearsal: &Rehearsal) {
    let swaps: Vec<Duration> = rehearsal
        .steps
        .iter()
        .filter(|step| step.swap)
        .map(|step| rehearsal.price(step).without_primary)
        .collect();
    let without = without_primary(&rehearsal.samples, rehearsal.began, rehearsal.ended);
    *page += "<div class=\"cards\">";
    for (value, what) in [
        (rehearsal.acknowledged.to_string(), "requests acknowledged"),
        (rehearsal.executed.to_string(), "requests executed"),
        (swaps.len().to_string(), "replicas swapped or restarted"),
        (seconds(without), "without a primary in all"),
        (seconds(swaps.iter().max().copied().unwrap_or_default()), "without a primary, worst swap"),
        (rehearsal.directories.len().to_string(), "directories verified"),
        (seconds(rehearsal.ended - rehearsal.began), "duration"),
    ] {
        *page += &format!("<div class=\"card\"><b>{value}</b><span>{what}</span></div>");
    }
    *page += "</div>\n";
}

/// Opens a picture with the steps as bands and the seconds below.
fn picture(page: &mut String, rehearsal: &Rehearsal, scale: &Scale, height: f64, label: &str) {
    let total = height + 34.0;
    *page += &format!("<svg viewBox=\"0 0 {WIDTH} {total}\" role=\"img\" aria-label=\"{label}\">\n");
    let mut last_label = f64::MIN;
    for (number, step) in (1..).zip(&rehearsal.steps) {
        let (from, to) = (scale.x(step.began), scale.x(step.ended));
        let fill = if step.failed.is_some() {
            "#fbe3e0"
        } else if number % 2 == 0 {
            "#f4f6f9"
        } else {
            "#ffffff"
        };
        let width = (to - from).max(0.5);
        let name = escape(&step.name);
        let _ = writeln!(
            page,
            "<rect x=\"{from:.1}\" y=\"14\" width=\"{width:.1}\" height=\"{height}\" fill=\"{fill}\"><title>{number}. \
             {name}</title></rect>"
        );
        // Numbers that would cover each other are left out.
        if from - last_label > 14.0 {
            let _ = writeln!(page, "<text x=\"{from:.1}\" y=\"10\">{number}</text>");
            last_label = from;
        }
    }
    for (x, text) in scale.marks() {
        let bottom = height + 14.0;
        let _ = writeln!(
            page,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{}\" stroke=\"#aab4c0\"/><text x=\"{x:.1}\" y=\"{}\" \
             text-anchor=\"middle\">{text}</text>",
            bottom + 4.0,
            bottom + 17.0
        );
    }
}

fn roles(page: &mut String, rehearsal: &Rehearsal, scale: &Scale) {
    let lanes: f64 = rehearsal.samples.iter().map(|_| LANE).sum();
    picture(page, rehearsal, scale, lanes, "roles of the replicas over time");
    let mut y = 14.0;
    for (place, samples) in rehearsal.samples.iter().enumerate() {
        let id = rehearsal.ids.get(place).map_or("", String::as_str);
        let _ = writeln!(page, "<text x=\"4\" y=\"{:.1}\">replica {}</text>", y + 14.0, escape(id));
        for (seen, since, until) in stretches(samples, rehearsal.ended) {
            bar(page, (scale.x(since), scale.x(until)), y + 3.0, 14.0, colour(seen), seen.word());
        }
        let mut moves = rehearsal.moves.iter().filter(|one| one.place == place).peekable();
        while let Some(one) = moves.next() {
            let until = moves.peek().map_or(rehearsal.ended, |next| next.at);
            let fill = if one.side == super::plan::Side::Old { "#9a8c78" } else { "#3b5bdb" };
            let name = format!("{} host, version {}", one.side, one.version);
            bar(page, (scale.x(one.at), scale.x(until)), y + 17.0, 6.0, fill, &name);
        }
        y += LANE;
    }
    *page += "</svg>\n<p class=\"key\">";
    for seen in [
        Seen::Primary,
        Seen::Elected,
        Seen::Secondary,
        Seen::Preparing,
        Seen::Initializing,
        Seen::Inactive,
        Seen::CutOff,
        Seen::Down,
    ] {
        *page += &format!("<i style=\"background:{}\"></i>{}", colour(seen), seen.word());
    }
    *page += "<i style=\"background:#9a8c78\"></i>old host<i style=\"background:#3b5bdb\"></i>new host</p>\n";
}

fn bar(page: &mut String, (from, to): (f64, f64), y: f64, height: f64, fill: &str, title: &str) {
    let width = (to - from).max(0.4);
    let _ = writeln!(
        page,
        "<rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{fill}\"><title>{}</title></rect>",
        escape(title)
    );
}

/// Samples of the same kind behind each other, as one.
fn stretches(samples: &[Sample], end: Instant) -> Vec<(Seen, Instant, Instant)> {
    let mut all: Vec<(Seen, Instant, Instant)> = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        let until = samples.get(index + 1).map_or(end, |next| next.at);
        match all.last_mut() {
            Some((seen, _, last)) if *seen == sample.seen => *last = until,
            _ => all.push((sample.seen, sample.at, until)),
        }
    }
    all
}

fn requests(page: &mut String, rehearsal: &Rehearsal, scale: &Scale) {
    picture(page, rehearsal, scale, CHART, "requests per second over time");
    let slot = (rehearsal.ended - rehearsal.began) / BARS;
    let rate = |number: u32| {
        let from = rehearsal.began + slot * number;
        let within = rehearsal.answered.iter().filter(|batch| batch.at >= from && batch.at < from + slot);
        let executed: u64 = within.map(|batch| batch.executed).sum();
        executed as f64 / slot.as_secs_f64().max(0.000_001)
    };
    let rates: Vec<f64> = (0..BARS).map(rate).collect();
    let highest = rates.iter().copied().fold(1.0, f64::max);
    for (number, rate) in (0..).zip(&rates) {
        let from = rehearsal.began + slot * number;
        let height = rate / highest * (CHART - 12.0);
        let x = (scale.x(from), scale.x(from + slot) - 0.5);
        if without_primary(&rehearsal.samples, from, from + slot) > slot / 2 {
            bar(page, x, 14.0, CHART, "#f6c7c1", "no primary");
        }
        if height > 0.0 {
            bar(page, x, 14.0 + CHART - height, height, "#2563a8", &format!("{rate:.0} requests per second"));
        }
    }
    let _ = writeln!(
        page,
        "<text x=\"4\" y=\"30\">{highest:.0}</text><text x=\"4\" y=\"{}\">0</text></svg>\n<p class=\"key\">\
         <i style=\"background:#f6c7c1\"></i>no primary for most of the time</p>",
        CHART + 12.0
    );
}

fn decrees(page: &mut String, rehearsal: &Rehearsal, scale: &Scale) {
    picture(page, rehearsal, scale, CHART, "decrees over time");
    let highest = rehearsal.samples.iter().flatten().map(|sample| sample.decree).max().unwrap_or(0).max(1);
    for (place, samples) in rehearsal.samples.iter().enumerate() {
        let known: Vec<&Sample> = samples.iter().filter(|sample| sample.seen != Seen::Down).collect();
        let thin = known.len().div_ceil(POINTS).max(1);
        let points = known.iter().step_by(thin).chain(known.last()).map(|sample| {
            let y = 14.0 + CHART - sample.decree as f64 / highest as f64 * (CHART - 12.0);
            format!("{:.1},{y:.1}", scale.x(sample.at))
        });
        let points: Vec<String> = points.collect();
        let stroke = LINES[place % LINES.len()];
        let _ = writeln!(
            page,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"1.4\"/>",
            points.join(" ")
        );
    }
    let _ = write!(page, "<text x=\"4\" y=\"30\">{highest}</text></svg>\n<p class=\"key\">");
    for (id, stroke) in rehearsal.ids.iter().zip(LINES) {
        *page += &format!("<i style=\"background:{stroke}\"></i>replica {}", escape(id));
    }
    *page += "</p>\n";
}

fn steps(page: &mut String, rehearsal: &Rehearsal) {
    *page += "<h2>Steps</h2>\n<table><tr><th class=\"n\">#</th><th>step</th><th class=\"n\">took</th><th class=\"n\">without \
              primary</th><th class=\"n\">longest gap</th><th class=\"n\">requests</th><th></th></tr>\n";
    for (number, step) in (1..).zip(&rehearsal.steps) {
        let price = rehearsal.price(step);
        let result = step
            .failed
            .as_ref()
            .map_or("ok".to_owned(), |why| format!("<span class=\"problem\">{}</span>", escape(why)));
        let _ = writeln!(
            page,
            "<tr><td class=\"n\">{number}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td \
             class=\"n\">{}</td><td class=\"n\">{}</td><td>{result}</td></tr>",
            escape(&step.name),
            seconds(step.ended - step.began),
            seconds(price.without_primary),
            seconds(price.longest_gap),
            price.acknowledged
        );
    }
    *page += "</table>\n";
}

fn replicas(page: &mut String, rehearsal: &Rehearsal) {
    *page += "<h2>Members at the end</h2>\n<table><tr><th>replica</th><th>host</th><th class=\"n\">version</th><th>role</th>\
              <th class=\"n\">decree</th><th class=\"n\">requests</th><th>state hash</th><th class=\"n\">checkpoint</th></tr>\n";
    for AtEnd { side, replica } in &rehearsal.members {
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{side}</td><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td><code>{:016x}</code></td><td class=\"n\">{}</td></tr>",
            escape(&replica.id),
            replica.version,
            escape(&replica.state),
            replica.seq,
            replica.count,
            replica.hash,
            replica.checkpointed
        );
    }
    *page += "</table>\n";
}

fn directories(page: &mut String, rehearsal: &Rehearsal) {
    *page += "<h2>Directories before and after each swap</h2>\n<table><tr><th>replica</th><th>process</th><th>written by</th>\
              <th>next</th><th class=\"n\">decree</th><th class=\"n\">ballot</th><th></th></tr>\n";
    for found in &rehearsal.directories {
        let wrong: Vec<String> = found.refused.iter().chain(&found.problems).map(|why| escape(why)).collect();
        let result = if wrong.is_empty() {
            "sound".to_owned()
        } else {
            format!("<span class=\"problem\">{}</span>", wrong.join("<br>"))
        };
        let _ = writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{result}</td></tr>",
            escape(&found.replica),
            found.state.name(),
            found.from,
            found.to,
            found.executed,
            found.promised
        );
    }
    *page += "</table>\n";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_become_markup() {
        assert_eq!(escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }

    #[test]
    fn equal_samples_are_one_stretch() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let sample = |ms, seen| Sample { at: at(ms), seen, decree: 0 };
        let samples = [sample(0, Seen::Down), sample(5, Seen::Down), sample(9, Seen::Primary)];
        let expected = [(Seen::Down, at(0), at(9)), (Seen::Primary, at(9), at(20))];
        assert_eq!(stretches(&samples, at(20)), expected);
    }
}
