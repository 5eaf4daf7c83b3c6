//! Which entry of a queue holds the message of a slot.

/// Slots of one page.
const PAGE: usize = 256;

/// A topic gives a slot that was freed again before it takes a new one, so slots are dense: this is a
/// table, and a look into it costs no hash. It lies in pages, because a queue may hold few of its
/// topic's messages.
#[derive(Debug, Default)]
pub struct BySlot {
    pages: Vec<Option<Box<Page>>>,
    /// An empty one: a queue that goes between none and one message asks for no memory.
    spare: Option<Box<Page>>,
}

#[derive(Debug)]
struct Page {
    /// The entry and one; 0 for none.
    entries: [u32; PAGE],
    held: usize,
}

/// Its place in the pages.
fn place(slot: u32) -> (usize, usize) {
    (slot as usize / PAGE, slot as usize % PAGE)
}

impl BySlot {
    /// The entry that holds a slot.
    #[inline]
    pub fn get(&self, slot: u32) -> Option<u32> {
        let (page, nth) = place(slot);
        self.pages.get(page)?.as_ref()?.entries.get(nth)?.checked_sub(1)
    }

    /// This entry holds the slot from now on.
    #[inline]
    pub fn insert(&mut self, slot: u32, entry: u32) {
        let (page, nth) = place(slot);
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, || None);
        }
        let Some(page) = self.pages.get_mut(page) else { return };
        let new = || Box::new(Page { entries: [0; PAGE], held: 0 });
        let page = page.get_or_insert_with(|| self.spare.take().unwrap_or_else(new));
        if let Some(held) = page.entries.get_mut(nth) {
            page.held += usize::from(*held == 0);
            *held = entry.saturating_add(1);
        }
    }

    /// None holds it any more.
    #[inline]
    pub fn remove(&mut self, slot: u32) {
        let (page, nth) = place(slot);
        let Some(place) = self.pages.get_mut(page) else { return };
        let Some(page) = place else { return };
        if let Some(held) = page.entries.get_mut(nth) {
            page.held -= usize::from(*held != 0);
            *held = 0;
        }
        if page.held == 0 {
            self.spare = place.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_leads_to_its_entry_until_it_is_removed() {
        let mut by_slot = BySlot::default();
        let slots = || (0..5000).step_by(7).chain([1 << 20]);
        for round in 1..3 {
            slots().for_each(|slot| by_slot.insert(slot, slot));
            slots().for_each(|slot| by_slot.insert(slot, slot * round));
            assert!(slots().all(|slot| by_slot.get(slot) == Some(slot * round)));
            assert_eq!((by_slot.get(1), by_slot.get(1 << 30)), (None, None));
            for slot in slots() {
                by_slot.remove(slot);
                by_slot.remove(slot);
                assert_eq!(by_slot.get(slot), None);
            }
            assert!(by_slot.pages.iter().all(Option::is_none), "no page is left");
        }
    }
}
