//! A rehearsal on a terminal while it runs: the step, the load, and a line for each replica.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use super::plan::Side;
use super::sampler::{Samples, Seen};

/// Between two pictures.
const FRAME: Duration = Duration::from_millis(200);

/// What is going on, for who looks.
#[derive(Debug, Default)]
pub(super) struct Board {
    step: Mutex<String>,
    /// Number of the step.
    number: Mutex<usize>,
    /// Id, host and version of each replica.
    seats: Mutex<Vec<Option<(String, Side, u16)>>>,
}

impl Board {
    /// A step begins.
    pub(super) fn announce(&self, step: &str) {
        step.clone_into(&mut self.step.lock());
        *self.number.lock() += 1;
    }

    /// A process is started.
    pub(super) fn seat(&self, place: usize, id: &str, side: Side, version: u16) {
        let mut seats = self.seats.lock();
        if seats.len() <= place {
            seats.resize(place + 1, None);
        }
        seats[place] = Some((id.to_owned(), side, version));
    }
}

/// The picture. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct View {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl View {
    /// Shows the board, what is seen of each replica, and the requests acknowledged so far.
    pub(super) fn start(
        board: Arc<Board>,
        replicas: Vec<Samples>,
        acknowledged: impl Fn() -> u64 + Send + 'static,
    ) -> View {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = std::thread::spawn(move || show(&board, &replicas, &acknowledged, &until));
        View { stop, thread: Some(thread) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A picture that failed has nothing to say.
            let _ = thread.join();
        }
    }
}

fn show(board: &Board, replicas: &[Samples], acknowledged: &impl Fn() -> u64, stop: &AtomicBool) {
    let all = MultiProgress::new();
    let line = || {
        let bar = all.add(ProgressBar::new_spinner());
        // The template is a constant.
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        bar
    };
    let (step, load) = (line(), line());
    let lines: Vec<ProgressBar> = replicas.iter().map(|_| line()).collect();
    let began = Instant::now();
    let (mut last, mut at) = (acknowledged(), began);
    let mut rate = 0.0;
    while !stop.load(Ordering::Relaxed) {
        let (now, count) = (Instant::now(), acknowledged());
        if now - at >= Duration::from_secs(1) {
            rate = (count - last) as f64 / (now - at).as_secs_f64();
            (last, at) = (count, now);
        }
        let seconds = began.elapsed().as_secs();
        step.set_message(format!("{seconds:>4} s  {}. {}", *board.number.lock(), *board.step.lock()));
        load.set_message(format!("        {count} requests acknowledged, {rate:.0} per second"));
        let seats = board.seats.lock();
        for (place, (bar, samples)) in lines.iter().zip(replicas).enumerate() {
            let latest = samples.lock().last().copied();
            let (seen, decree) = latest.map_or((Seen::Down, 0), |sample| (sample.seen, sample.decree));
            let Some((id, side, version)) = seats.get(place).and_then(Option::as_ref) else { continue };
            let word = seen.word();
            bar.set_message(format!("        {id:<6} {side:<4} v{version}  {word:<20} decree {decree}"));
        }
        drop(seats);
        std::thread::sleep(FRAME);
    }
    // Bars that are not finished would stay on the screen.
    for bar in lines.iter().chain([&step, &load]) {
        bar.finish_and_clear();
    }
}
