//! Several errors of one command line, which are reported together.
//!
//! A value that is refused is replaced by its default, and what does not depend on it is checked as
//! well. Where it is not known what the value would have been, only those errors count that every
//! value leads to ([`in_every_case`]).

use super::error::ArgsError;

/// The errors found so far, each once.
#[derive(Debug, Default)]
pub(super) struct Refusals(Vec<ArgsError>);

impl Refusals {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes an error.
    pub fn add(&mut self, error: ArgsError) {
        for error in error.into_parts() {
            if !self.0.contains(&error) {
                self.0.push(error);
            }
        }
    }

    /// The value. An error is noted, and the default stands in for the value.
    pub fn value<T: Default>(&mut self, result: Result<T, ArgsError>) -> T {
        result.unwrap_or_else(|error| {
            self.add(error);
            T::default()
        })
    }

    /// The result of all checks: an error if there is any.
    pub fn finish<T>(self, value: T) -> Result<T, ArgsError> {
        match self.into_error() {
            Some(error) => Err(error),
            None => Ok(value),
        }
    }

    /// The only error, or all of them as one.
    fn into_error(mut self) -> Option<ArgsError> {
        if self.0.len() > 1 {
            return Some(ArgsError::Several { errors: self.0 });
        }
        self.0.pop()
    }
}

/// All values, or all errors.
pub(super) fn all<T>(
    results: impl IntoIterator<Item = Result<T, ArgsError>>,
) -> Result<Vec<T>, ArgsError> {
    let mut refusals = Refusals::default();
    let mut values = Vec::new();
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) => refusals.add(error),
        }
    }
    refusals.finish(values)
}

/// The result of a check that depends on what is not known: the errors that all cases have in
/// common, or the first value.
pub(super) fn in_every_case<C, T: Default>(
    cases: &[C],
    mut check: impl FnMut(&C) -> Result<T, ArgsError>,
) -> Result<T, ArgsError> {
    let mut common: Option<Vec<ArgsError>> = None;
    for case in cases {
        let errors = match check(case) {
            Ok(value) => return Ok(value),
            Err(error) => error.into_parts(),
        };
        common = Some(match common {
            Some(known) => known.into_iter().filter(|error| errors.contains(error)).collect(),
            None => errors,
        });
    }
    let mut refusals = Refusals::default();
    common.into_iter().flatten().for_each(|error| refusals.add(error));
    refusals.finish(T::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(given: &str) -> ArgsError {
        ArgsError::bad(given, "")
    }

    #[test]
    fn every_error_is_kept_once() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.value(Ok(7)), 7);
        assert_eq!(refusals.value::<u8>(Err(error("a"))), 0);
        refusals.add(ArgsError::Several { errors: vec![error("b"), error("a")] });
        let expected = vec![error("a"), error("b")];
        assert_eq!(refusals.finish(()), Err(ArgsError::Several { errors: expected }));
        assert_eq!(all([Ok(1), Err(error("a")), Ok(2)]), Err(error("a")));
        assert_eq!(all([Ok(1), Ok(2)]), Ok(vec![1, 2]));
    }

    #[test]
    fn errors_that_depend_on_what_is_unknown_do_not_count() {
        let two = |a, b| ArgsError::Several { errors: vec![error(a), error(b)] };
        let check = |case: &u8| -> Result<u8, _> {
            Err(if *case == 0 { two("here", "both") } else { two("both", "there") })
        };
        assert_eq!(in_every_case(&[0, 1], check), Err(error("both")));
        assert_eq!(in_every_case(&[0], check), Err(two("here", "both")));
        let one_is_right = |case: &u8| if *case == 0 { Err(error("a")) } else { Ok(*case) };
        assert_eq!(in_every_case(&[0, 1], one_is_right), Ok(1));
    }
}
