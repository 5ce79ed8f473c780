//! What was made lately from the same bytes, so that it is not made again.
//!
//! A memo changes nothing but time and memory: it is asked with all that a thing is made of, and with nothing else.

/// One thing a place, two places for each hash; a new one takes that of the older one. `PLACES` is a power of two.
pub(super) struct Memo<T, const PLACES: usize>(Vec<[Option<T>; 2]>);

impl<T, const PLACES: usize> Memo<T, PLACES> {
    pub(super) const fn new() -> Memo<T, PLACES> {
        Memo(Vec::new())
    }

    /// What is made of `question`: what stands in its place, if it is that, or what `make` makes.
    pub(super) fn recall(&mut self, question: &[u8], is: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> Option<&T> {
        if self.0.is_empty() {
            self.0.resize_with(PLACES / 2, || [None, None]);
        }
        let [first, second] = self.0.get_mut(hash(question) % (PLACES / 2))?;
        if !first.as_ref().is_some_and(&is) {
            // the newer one stands first
            std::mem::swap(first, second);
            if !first.as_ref().is_some_and(is) {
                *first = Some(make());
            }
        }
        first.as_ref()
    }
}

/// Which place: no secret, since who aims at another's place only has it made anew.
fn hash(question: &[u8]) -> usize {
    let mix = |state: u64, word: [u8; 8]| {
        (state ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    };
    let words = question.chunks_exact(8);
    let mut last = [0; 8];
    last.iter_mut().zip(words.remainder()).for_each(|(to, from)| *to = *from);
    let state = words.filter_map(|word| word.first_chunk().copied()).fold(question.len() as u64, mix);
    let state = mix(state, last);
    (state ^ (state >> 32)) as usize
}

#[cfg(test)]
mod tests {
    use super::Memo;

    #[test]
    fn what_is_remembered_is_what_was_asked_for_whatever_shares_its_place() {
        let mut memo: Memo<String, 4> = Memo::new();
        let mut made = 0;
        // 1, 1, 2, 2, ... and words of more than eight bytes
        for number in 0..2000_u32 {
            let text = format!("{:0>width$}", number / 2 % 50, width = 2 + (number / 2 % 20) as usize);
            let make = || {
                made += 1;
                text.clone()
            };
            assert_eq!(memo.recall(text.as_bytes(), |there| *there == text, make), Some(&text));
        }
        // each is asked for twice in a row, and fifty do not fit
        assert!((51..=1000).contains(&made), "{made}");
    }
}
