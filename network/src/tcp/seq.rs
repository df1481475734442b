//! Sequence numbers, which wrap around (RFC 9293 section 3.4).

/// A sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seq(pub u32);

impl Seq {
    /// The number `count` bytes later.
    pub fn plus(self, count: usize) -> Self {
        // Counts are lengths of buffers and segments, far below 2^31.
        Self(self.0.wrapping_add(u32::try_from(count).unwrap_or(0)))
    }

    /// How many bytes later this is than `earlier`; negative if it is before it.
    pub fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// How many bytes later this is than `earlier`, 0 if it is before it.
    pub fn after(self, earlier: Self) -> usize {
        usize::try_from(self.since(earlier)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_around() {
        let start = Seq(u32::MAX - 1);
        assert_eq!(start.plus(3), Seq(1));
        assert_eq!(Seq(1).since(start), 3);
        assert_eq!(start.since(Seq(1)), -3);
        assert_eq!(start.after(Seq(1)), 0);
    }
}
