//! Values by small numbers that are given again: a slab that grows by pages.
//!
//! Nothing is moved when it grows, so a topic of millions of messages has no turn that copies them
//! all, and its memory is never there twice.

/// Values of one page: so many that the list of the pages stays small and is at hand.
const PAGE: usize = 1 << 16;

/// See the file's doc.
#[derive(Debug)]
pub struct Pages<T> {
    /// All but the last are full of cells; the first grows as a vector does.
    pages: Vec<Vec<Cell<T>>>,
    /// The cell that is filled next; as many as there are cells: a new one.
    free: u32,
    cells: u32,
    len: usize,
}

#[derive(Debug)]
enum Cell<T> {
    Full(T),
    /// And the free one after it.
    Free(u32),
}

/// Its place in the pages.
fn place(at: u32) -> (usize, usize) {
    (at as usize / PAGE, at as usize % PAGE)
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Pages { pages: Vec::new(), free: 0, cells: 0, len: 0 }
    }
}

impl<T> Pages<T> {
    /// How many.
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn cell(&self, at: u32) -> Option<&Cell<T>> {
        let (page, nth) = place(at);
        self.pages.get(page)?.get(nth)
    }

    #[inline]
    fn cell_mut(&mut self, at: u32) -> Option<&mut Cell<T>> {
        let (page, nth) = place(at);
        self.pages.get_mut(page)?.get_mut(nth)
    }

    /// The value of a number.
    #[inline]
    pub fn get(&self, at: u32) -> Option<&T> {
        match self.cell(at)? {
            Cell::Full(value) => Some(value),
            Cell::Free(_) => None,
        }
    }

    /// The value of a number, to be changed.
    #[inline]
    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        match self.cell_mut(at)? {
            Cell::Full(value) => Some(value),
            Cell::Free(_) => None,
        }
    }

    /// The number that the next value gets; `None`: all are taken.
    #[inline]
    pub fn next(&self) -> Option<u32> {
        (self.free != u32::MAX).then_some(self.free)
    }

    /// How many cells there are, full and free: every number is below.
    pub fn cells(&self) -> u32 {
        self.cells
    }

    /// Puts a value in; returns its number. Not to be called when [`Pages::next`] says that all are taken.
    #[inline(always)]
    pub fn add(&mut self, value: T) -> u32 {
        let at = self.free;
        self.insert(value);
        at
    }

    /// Puts a value in, under the number of [`Pages::next`].
    #[inline(always)]
    pub fn insert(&mut self, value: T) {
        let at = self.free;
        self.len += 1;
        if let Some(cell) = self.cell_mut(at) {
            if let Cell::Free(next) = *cell {
                *cell = Cell::Full(value);
                self.free = next;
            }
            return;
        }
        self.push(value);
    }

    #[inline]
    fn push(&mut self, value: T) {
        let (page, _) = place(self.cells);
        if page == self.pages.len() {
            let room = if page == 0 { 0 } else { PAGE };
            self.pages.push(Vec::with_capacity(room));
        }
        if let Some(last) = self.pages.last_mut() {
            last.push(Cell::Full(value));
        }
        self.cells += 1;
        self.free = self.cells;
    }

    /// Takes a value out.
    #[inline(always)]
    pub fn remove(&mut self, at: u32) -> Option<T> {
        let free = self.free;
        let cell = self.cell_mut(at)?;
        if let Cell::Free(_) = cell {
            return None;
        }
        let Cell::Full(value) = std::mem::replace(cell, Cell::Free(free)) else { return None };
        self.freed(at);
        Some(value)
    }

    /// Looks at a value, and drops it where it lies when it is said to be of no more use.
    #[inline(always)]
    pub fn free_if(&mut self, at: u32, useless: impl FnOnce(&mut T) -> bool) {
        let free = self.free;
        let Some(cell) = self.cell_mut(at) else { return };
        let Cell::Full(value) = cell else { return };
        if useless(value) {
            *cell = Cell::Free(free);
            self.freed(at);
        }
    }

    #[inline]
    fn freed(&mut self, at: u32) {
        self.free = at;
        self.len -= 1;
        if self.len == 0 && self.pages.len() > 1 {
            *self = Pages::default();
        }
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All with their numbers, ascending, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        (0..).zip(self.pages.iter_mut().flatten()).filter_map(|(at, cell)| match cell {
            Cell::Full(value) => Some((at, value)),
            Cell::Free(_) => None,
        })
    }

    /// All with their numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(self.pages.iter().flatten()).filter_map(|(at, cell)| match cell {
            Cell::Full(value) => Some((at, value)),
            Cell::Free(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(pages: &mut Pages<u64>, value: u64) -> u32 {
        let at = pages.next().unwrap();
        pages.insert(value);
        at
    }

    #[test]
    fn a_value_stays_under_its_number_until_it_is_removed() {
        let mut pages = Pages::default();
        let all: Vec<u32> = (0..150_000).map(|value| put(&mut pages, value)).collect();
        assert!(all.iter().copied().eq(0..150_000));
        for at in (0..150_000).step_by(3) {
            assert_eq!(pages.remove(at), Some(at.into()));
            assert_eq!((pages.remove(at), pages.get(at)), (None, None));
        }
        assert_eq!(pages.len(), pages.iter().count());
        assert!(pages.iter().all(|(at, value)| at % 3 != 0 && u64::from(at) == *value));
        // The numbers that are free are given again before new ones.
        let again: Vec<u32> = (0..50_000).map(|value| put(&mut pages, value)).collect();
        assert!(again.iter().all(|at| at % 3 == 0));
        assert_eq!((pages.len(), put(&mut pages, 1)), (150_000, 150_000));
        assert_eq!(pages.get(160_000), None);
        *pages.get_mut(149_999).unwrap() = 7;
        assert_eq!(pages.get(149_999), Some(&7));
    }

    #[test]
    fn what_is_empty_holds_one_page_at_most() {
        let mut pages = Pages::default();
        for _ in 0..2 {
            let all: Vec<u32> = (0..150_000).map(|value| put(&mut pages, value)).collect();
            for at in all {
                assert!(pages.get(at).is_some());
                pages.free_if(at, |_| true);
                pages.free_if(at, |_| true);
                assert_eq!(pages.get(at), None);
            }
            assert!(pages.is_empty() && pages.pages.len() <= 1);
        }
    }
}
