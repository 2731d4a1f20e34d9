//! Unique requests, and what is known about each batch of them.

use migration::exec_log::History;

/// Requests per batch.
pub(crate) const BATCH: u64 = 64;

/// Makes requests and keeps the books. No request is ever submitted twice, so "executed exactly once" can be read
/// from the exec logs.
#[derive(Debug)]
pub(crate) struct Load {
    /// Sets the requests of this run apart from those in a legacy directory.
    run: [u8; 8],
    size: usize,
    batches: Vec<Batch>,
    acknowledged: u64,
}

/// Consecutive requests submitted together.
#[derive(Debug)]
struct Batch {
    first: u64,
    count: u64,
    /// How many the host reported as executed; which of them is not said.
    executed: u64,
}

impl Load {
    /// Requests of `size` bytes, at least 16.
    pub(crate) fn new(run: u64, size: usize) -> Self {
        let mut run = run.to_be_bytes();
        // A leading zero byte would make it a command of the state machine.
        run[0] |= 1;
        Self { run, size: size.max(16), batches: Vec::new(), acknowledged: 0 }
    }

    /// The first 16 bytes, which identify a request in an exec log.
    fn head(&self, number: u64) -> String {
        hex::encode([self.run, number.to_be_bytes()].concat())
    }

    /// The next batch as a control command; at most `limit` requests.
    pub(crate) fn next_command(&mut self, limit: u64) -> String {
        let first = self.batches.last().map_or(0, |batch| batch.first + batch.count);
        let count = limit.clamp(1, BATCH);
        self.batches.push(Batch { first, count, executed: 0 });
        let mut command = "replicate".to_owned();
        for number in first..first + count {
            command.push(' ');
            command.push_str(&hex::encode(self.request(number)));
        }
        command
    }

    /// The bytes of one request.
    fn request(&self, number: u64) -> Vec<u8> {
        let mut request = [self.run, number.to_be_bytes()].concat();
        // The rest differs from request to request as well, and is easy to recognise in a dump.
        request.resize(self.size, (number % 251).to_le_bytes()[0]);
        request
    }

    /// The bytes of the request that an exec log shows with this head, if it is one of ours.
    pub(crate) fn find(&self, head: &str) -> Option<Vec<u8>> {
        let head = hex::decode(head).ok()?;
        let number = head.strip_prefix(&self.run)?.try_into().ok().map(u64::from_be_bytes)?;
        let submitted = self.batches.last().map_or(0, |batch| batch.first + batch.count);
        (number < submitted).then(|| self.request(number))
    }

    /// The host reported how many requests of the newest batch were executed.
    pub(crate) fn acknowledge(&mut self, executed: u64) -> Result<(), String> {
        let Some(batch) = self.batches.last_mut() else { return Err("nothing was submitted".to_owned()) };
        if executed > batch.count {
            return Err(format!(
                "the host reported {executed} executed of {} submitted requests",
                batch.count
            ));
        }
        batch.executed = executed;
        self.acknowledged += executed;
        Ok(())
    }

    /// Requests reported as executed.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Compares with what was executed: the number of our requests in the history, and every contradiction.
    pub(crate) fn check(&self, history: &History) -> (u64, Vec<String>) {
        let mut executed = 0;
        let mut problems = Vec::new();
        for batch in &self.batches {
            let mut found = 0;
            for number in batch.first..batch.first + batch.count {
                match history.executions(&self.head(number)) {
                    0 => {}
                    1 => found += 1,
                    more => problems.push(format!("request {number} was executed {more} times")),
                }
            }
            if found < batch.executed {
                problems.push(format!(
                    "of the requests {}..{} the host acknowledged {}, the exec logs hold {found}",
                    batch.first,
                    batch.first + batch.count,
                    batch.executed
                ));
            }
            executed += found;
        }
        (executed, problems)
    }
}

#[cfg(test)]
mod tests {
    use migration::exec_log::Row;

    use super::*;

    fn history(load: &Load, numbers: &[u64]) -> History {
        let mut history = History::default();
        for (seq, number) in (1..).zip(numbers) {
            let row = Row { seq, index: 0, length: 100, hash: seq, cookie: true, head: load.head(*number) };
            history.add("a", &[row]).unwrap();
        }
        history
    }

    #[test]
    fn requests_are_unique_and_of_the_wanted_size() {
        let mut load = Load::new(0x0011_2233_4455_6677, 100);
        let words = |command: String| command.split(' ').skip(1).map(str::to_owned).collect::<Vec<_>>();
        let mut all = [words(load.next_command(1000)), words(load.next_command(3))].concat();
        assert_eq!(all.len(), 67);
        assert!(all.iter().all(|word| word.len() == 200 && !word.starts_with("00")));
        let first = hex::decode(&all[0]).unwrap();
        assert_eq!(load.find(&all[0][..32]), Some(first), "made again from its head");
        assert_eq!(load.find(&load.head(67)), None, "never submitted");
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 67);
    }

    #[test]
    fn lost_and_repeated_requests_are_problems_unknown_ones_are_not() {
        let mut load = Load::new(1, 16);
        load.next_command(3);
        load.acknowledge(3).unwrap();
        load.next_command(2);
        assert!(load.acknowledge(3).is_err());
        assert_eq!(load.check(&history(&load, &[0, 1, 2])), (3, vec![]));
        assert_eq!(load.check(&history(&load, &[0, 1, 2, 4])), (4, vec![]), "not acknowledged, yet executed");
        assert_eq!(load.check(&history(&load, &[0, 2])).1.len(), 1, "one is lost");
        assert_eq!(load.check(&history(&load, &[0, 1, 2, 0])).1.len(), 2, "one ran twice");
    }
}
