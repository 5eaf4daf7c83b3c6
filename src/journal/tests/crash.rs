//! Killed processes and power cuts: what was confirmed is there, what was acked stays away.
//!
//! The writing is done by this test program started once more, which runs only [`child`] and
//! tells on its output what it hands over and what is confirmed.

use super::*;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    env, fs,
    io::{BufRead, BufReader, Write},
    process::{Child, Command as Program, Stdio},
};

const FOLDER: &str = "OCTOQ_TEST_CRASH_FOLDER";
const LEVEL: &str = "OCTOQ_TEST_CRASH_LEVEL";

/// A small generator of the same numbers every time.
struct Steps(u64);

impl Steps {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody listens any more: the parent is about to kill this process.
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

fn list(numbers: &[u64]) -> String {
    numbers.iter().map(|number| format!(" {number}")).collect()
}

/// Not a test of its own: writes until it is killed, when a folder is named.
#[test]
fn child() {
    let Some(path) = env::var_os(FOLDER) else { return };
    let level = if env::var(LEVEL).as_deref() == Ok("async") { Level::Async } else { Level::Sync };
    let slow =
        JournalSettings { sync_interval: Duration::from_secs(3600), ..settings(Path::new(&path)) };
    let (journal, catalog) = Journal::open_in(slow, "a boot").unwrap();
    if catalog.topics.is_empty() {
        furnish(&journal);
    }
    let mut alive: VecDeque<u64> = numbers_in(&journal).into();
    let mut steps = Steps(journal.numbers(1) | 1);
    let (answer, outcomes) = mpsc::channel();
    for turn in 0_u64.. {
        let count = 1 + steps.below(64);
        let first = journal.numbers(count);
        let publishes: Vec<u64> = (first..first + count).collect();
        // Slightly fewer acks than publishes, mostly of the oldest.
        let mut acks = Vec::new();
        for _ in 0..steps.below(count + 1) {
            let at = if steps.below(10) == 0 {
                steps.below(alive.len().max(1) as u64) as usize
            } else {
                0
            };
            acks.extend(alive.remove(at));
        }
        tell(&format!("\np{}\na{}\n", list(&publishes), list(&acks)));
        let records = publishes
            .iter()
            .map(|&number| published(number, 1))
            .chain(acks.iter().map(|&number| acked(number)))
            .collect();
        let confirmed = format!("\nP{}\nA{}\n", list(&publishes), list(&acks));
        let answer = answer.clone();
        let done: Done = Box::new(move |outcome| {
            outcome.unwrap();
            tell(&confirmed);
            let _ = answer.send(publishes);
        });
        journal.submit(Submission { records, level, done: Some(done) }).ok().unwrap();
        if turn >= 4 {
            alive.extend(outcomes.recv().unwrap());
        }
    }
}

fn start_child(path: &Path, level: Level) -> Child {
    Program::new(env::current_exe().unwrap())
        .args(["--exact", "journal::tests::crash::child", "--nocapture", "--test-threads=1"])
        .env(FOLDER, path)
        .env(LEVEL, if level == Level::Async { "async" } else { "sync" })
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the children have said so far.
#[derive(Default)]
struct Told {
    /// Publishes handed over, each with those of its submission.
    handed_over: BTreeMap<u64, u64>,
    published: BTreeSet<u64>,
    acks_handed_over: BTreeSet<u64>,
    acked: BTreeSet<u64>,
}

impl Told {
    fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        let Some(kind @ ("p" | "a" | "P" | "A")) = words.next() else { return };
        let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        match kind {
            "p" => self.handed_over.extend(numbers.iter().map(|&number| (number, numbers[0]))),
            "a" => self.acks_handed_over.extend(numbers),
            "P" => self.published.extend(numbers),
            _ => self.acked.extend(numbers),
        }
    }

    /// Lets a child write until so many submissions are confirmed, then kills it.
    fn run_child(&mut self, path: &Path, level: Level, confirmed: u64) {
        let mut child = start_child(path, level);
        let mut seen = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).split(b'\n') {
            let line = String::from_utf8(line.unwrap()).unwrap();
            self.hear(&line);
            seen += u64::from(line.starts_with('P'));
            if seen == confirmed {
                child.kill().unwrap();
            }
        }
        assert!(seen >= confirmed, "the child ended by itself after {seen}");
        child.wait().unwrap();
    }

    /// What is wrong with what came back.
    fn faults(&self, back: &[Restored]) -> Vec<String> {
        let mut faults = Vec::new();
        let mut there = BTreeSet::new();
        for message in back {
            if !there.insert(message.number) {
                faults.push(format!("{} is there twice", message.number));
            }
            if message.body != Some(body(message.number).into()) {
                faults.push(format!("{} has another body", message.number));
            }
        }
        let lost = self
            .published
            .iter()
            .filter(|number| !there.contains(number) && !self.acks_handed_over.contains(number));
        faults.extend(lost.map(|number| format!("{number} was confirmed and is lost")));
        faults.extend(
            self.acked.intersection(&there).map(|number| format!("{number} was acked and is back")),
        );
        // A submission is there as a whole or not at all.
        for (number, first) in &self.handed_over {
            let halves = there.contains(first) != there.contains(number);
            if halves
                && !self.acks_handed_over.contains(number)
                && !self.acks_handed_over.contains(first)
            {
                faults.push(format!("{number} and {first} came together, one is there"));
            }
        }
        faults
    }
}

#[test]
fn twenty_kills_lose_nothing_confirmed_and_bring_nothing_acked_back() {
    let at = folder();
    let (mut told, mut steps) = (Told::default(), Steps(42));
    for round in 0..20 {
        let level = if round % 2 == 0 { Level::Sync } else { Level::Async };
        told.run_child(at.path(), level, 1 + steps.below(80));
        let (journal, catalog) = Journal::open_in(settings(at.path()), "a boot").unwrap();
        assert!(catalog.same_boot && !catalog.clean);
        assert_eq!(told.faults(&read_all(&journal)), Vec::<String>::new(), "round {round}");
        let highest = told.handed_over.keys().max().copied().unwrap();
        assert!(journal.numbers(1) > highest, "round {round}");
    }
    assert!(told.acked.len() > 1000, "{} acks", told.acked.len());
}

/// A file system on an image of its own: what the image holds is what the device got.
struct Device {
    image: PathBuf,
    mounted: TempDir,
}

impl Device {
    /// `None`, and why on the output, where this user may not.
    fn mount(image: &Path) -> Option<Device> {
        let mounted = folder();
        let output =
            Program::new("mount").args(["-o", "loop"]).arg(image).arg(mounted.path()).output();
        match output {
            Ok(output) if output.status.success() => {
                Some(Device { image: image.to_owned(), mounted })
            }
            other => {
                println!("skipped, an image cannot be mounted here: {other:?}");
                None
            }
        }
    }

    fn make(at: &Path) -> Option<Device> {
        let image = at.join("image");
        fs::File::create(&image).unwrap().set_len(128 << 20).unwrap();
        match Program::new("mkfs.ext4").arg("-q").arg(&image).output() {
            Ok(output) if output.status.success() => Device::mount(&image),
            other => {
                println!("skipped, no file system can be made here: {other:?}");
                None
            }
        }
    }

    /// The power goes: a device with what this one has got so far.
    fn cut(&self, to: &Path) -> Option<Device> {
        fs::copy(&self.image, to).unwrap();
        Device::mount(to)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = Program::new("umount").arg(self.mounted.path()).status();
    }
}

/// Writes, cuts the power, looks. `None`: not possible here.
fn power_cut(told: &mut Told, level: Level, confirmed: u64) -> Option<Vec<String>> {
    let at = folder();
    let device = Device::make(at.path())?;
    // The store itself is there before; only what is confirmed counts.
    let store = device.mounted.path().join("store");
    open(&store).0.close().unwrap();
    told.run_child(&store, level, confirmed);
    let after = device.cut(&at.path().join("after"))?;
    let opened = Journal::open_in(settings(&after.mounted.path().join("store")), "another boot");
    Some(match opened {
        Ok((journal, _)) => {
            let faults = told.faults(&read_all(&journal));
            journal.close().unwrap();
            faults
        }
        Err(error) => vec![error.to_string()],
    })
}

#[test]
fn power_cuts_lose_nothing_that_was_confirmed_at_sync() {
    let mut steps = Steps(7);
    for round in 0..5 {
        let confirmed = 5 + steps.below(150);
        let Some(faults) = power_cut(&mut Told::default(), Level::Sync, confirmed) else { return };
        assert_eq!(faults, Vec::<String>::new(), "round {round}");
    }
}

/// Without syncs the same test must find losses; else it would not see a missing sync either.
#[test]
fn power_cuts_without_syncs_are_noticed_by_this_test() {
    let mut noticed = 0;
    for _ in 0..4 {
        let Some(faults) = power_cut(&mut Told::default(), Level::Async, 40) else { return };
        noticed += usize::from(!faults.is_empty());
    }
    assert!(noticed > 0, "no loss was noticed");
}
