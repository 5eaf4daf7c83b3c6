//! What is counted: stretches of work with a name and a number of messages.

/// Works off the sections, and counts those whose names begin with one of its words.
pub struct Meter {
    words: Vec<String>,
}

/// Callgrind counts from the moment this is entered until it is left; it finds it by its name.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
}

impl Meter {
    /// Without words all are counted.
    pub fn new(words: Vec<String>) -> Meter {
        Meter { words }
    }

    /// Some section of this group, the first part of its name, is to be counted.
    pub fn wants(&self, group: &str) -> bool {
        let both = |word: &String| group.starts_with(word.as_str()) || word.starts_with(group);
        self.words.is_empty() || self.words.iter().any(both)
    }

    /// Does the work, and counts it. What is prepared or warmed up is done before, what is looked at
    /// afterwards behind.
    pub fn section(&mut self, name: &str, messages: usize, mut work: impl FnMut()) {
        let begins = |word: &String| name.starts_with(word.as_str());
        if !self.words.is_empty() && !self.words.iter().any(begins) {
            return work();
        }
        println!("{name}\t{messages}");
        counted(&mut work);
    }
}
