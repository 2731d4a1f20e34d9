//! Reads the exec logs of all replicas and judges them: one history, every request at most once.
//!
//! A host appends one line per executed request: `seq index length hash cookie first16byteshex`. After a
//! restart it executes again from its checkpoint, so rows repeat; a repeated row must say the same.

use std::collections::BTreeMap;
use std::str::FromStr;

/// One executed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The decree it was part of.
    pub seq: u64,
    /// Its place among the requests of that decree.
    pub index: u32,
    /// Length of the request in bytes.
    pub length: u64,
    /// State hash after it.
    pub hash: u64,
    /// Whether this replica had to tell a client.
    pub cookie: bool,
    /// The first 16 bytes of the request (fewer for a shorter one), hexadecimal.
    pub head: String,
}

impl FromStr for Row {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut fields = line.split(' ');
        let mut field = |name: &str| fields.next().ok_or_else(|| format!("no {name}"));
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        let seq = number(field("seq")?)?;
        let index = field("index")?.parse().map_err(|_| "bad index".to_owned())?;
        let length = number(field("length")?)?;
        let hash = field("hash")?;
        let hash = u64::from_str_radix(hash, 16)
            .ok()
            .filter(|_| hash.len() == 16)
            .ok_or_else(|| format!("{hash} is no 64-bit hash"))?;
        let cookie = match field("cookie")? {
            "0" => false,
            "1" => true,
            other => return Err(format!("cookie is {other}")),
        };
        // A request of length 0 has no head; the field may be missing then.
        let head = fields.next().unwrap_or_default().to_owned();
        let bytes = hex::decode(&head).map_err(|_| format!("{head} is not hexadecimal"))?.len() as u64;
        if bytes != length.min(16) || fields.next().is_some() {
            return Err("the head does not fit the length".to_owned());
        }
        Ok(Self { seq, index, length, hash, cookie, head })
    }
}

/// Parses a whole exec log. A last line without its end is dropped: the host died while writing it.
pub fn parse(text: &str) -> Result<Vec<Row>, String> {
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let numbered = complete.lines().enumerate();
    numbered.map(|(at, line)| line.parse().map_err(|why| format!("line {}: {why}", at + 1))).collect()
}

/// The one history that all replicas executed.
#[derive(Debug, Default)]
pub struct History {
    rows: BTreeMap<(u64, u32), (Row, String)>,
    /// Head of a request -> where it was executed.
    places: BTreeMap<String, Vec<(u64, u32)>>,
}

impl History {
    /// Adds the log of one replica. Fails when it contradicts what another replica, or this one before its
    /// restart, executed at the same place.
    pub fn add(&mut self, replica: &str, rows: &[Row]) -> Result<(), String> {
        for row in rows {
            let at = (row.seq, row.index);
            match self.rows.get(&at) {
                None => {
                    self.rows.insert(at, (row.clone(), replica.to_owned()));
                    self.places.entry(row.head.clone()).or_default().push(at);
                }
                Some((first, other)) => {
                    let same = (first.length, first.hash, &first.head) == (row.length, row.hash, &row.head);
                    if !same {
                        return Err(format!(
                            "divergence at decree {} request {}: {other} has hash {:016x} request {}, {replica} has \
                             hash {:016x} request {}",
                            row.seq, row.index, first.hash, first.head, row.hash, row.head
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// How many requests were executed.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing was executed.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How often a request with this head (hexadecimal) was executed.
    pub fn executions(&self, head: &str) -> usize {
        self.places.get(head).map_or(0, Vec::len)
    }

    /// All rows, in the order of their execution.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().map(|(row, _)| row)
    }

    /// The last row.
    pub fn last(&self) -> Option<&Row> {
        self.rows.values().next_back().map(|(row, _)| row)
    }

    /// The last row at or below a decree.
    pub fn last_at(&self, seq: u64) -> Option<&Row> {
        self.rows.range(..=(seq, u32::MAX)).next_back().map(|(_, (row, _))| row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2 0 5 578be62969f42978 1 68656c6c6f\n3 0 1 c6fdca55f3ee7ef8 1 a1\n";

    #[test]
    fn rows_parse_and_a_torn_last_line_is_dropped() {
        let rows = parse(&format!("{LOG}3 1 40 e06")).unwrap();
        assert_eq!(rows.len(), 2);
        let hello = Row {
            seq: 2,
            index: 0,
            length: 5,
            hash: 0x578b_e629_69f4_2978,
            cookie: true,
            head: "68656c6c6f".into(),
        };
        assert_eq!(rows[0], hello);
        for bad in [
            "x",
            "1 0 5 578be62969f42978 1 68",
            "1 0 1 78 1 a1",
            "1 0 1 578be62969f42978 2 a1",
            "1 0 1 578be62969f42978 1 a1 x",
        ] {
            assert!(parse(&format!("{bad}\n")).is_err(), "{bad}");
        }
    }

    #[test]
    fn replicas_may_repeat_and_skip_rows_but_not_contradict() {
        let rows = parse(LOG).unwrap();
        let mut history = History::default();
        history.add("a", &rows).unwrap();
        history.add("a", &rows[1..]).unwrap();
        history.add("b", &rows[1..]).unwrap();
        assert_eq!((history.len(), history.executions("a1"), history.executions("a2")), (2, 1, 0));
        assert_eq!(history.last_at(2), Some(&rows[0]));
        let mut other = rows[1].clone();
        other.hash += 1;
        assert!(history.add("c", &[other]).unwrap_err().contains("decree 3"));
        let mut again = rows[1].clone();
        again.seq = 4;
        history.add("c", &[again]).unwrap();
        assert_eq!(history.executions("a1"), 2);
    }
}
