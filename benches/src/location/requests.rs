//! What a server was asked for, summed up.

use std::ops::Range;

/// A request, and what was sent for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The path in the URL.
    pub path: String,
    /// The first byte of the file that was asked for.
    pub from: u64,
    /// Bytes of the body; 0 if the answer was 404.
    pub sent: u64,
}

/// All bytes of bodies.
#[must_use]
pub fn bytes(requests: &[Request]) -> u64 {
    requests.iter().map(|request| request.sent).sum()
}

/// The bytes that were sent before the first byte of `part`, a part of the file that all requests
/// are for, and how many requests there were before it was sent. All of them, if it never was.
#[must_use]
pub fn before(requests: &[Request], part: &Range<u64>) -> (u64, usize) {
    let mut bytes = 0;
    for (number, request) in requests.iter().enumerate() {
        if (request.from..request.from + request.sent).contains(&part.start) {
            return (bytes + part.start - request.from, number);
        }
        bytes += request.sent;
    }
    (bytes, requests.len())
}

/// The bytes that were sent and are in none of `parts`: what was read to find them, and what was
/// sent in vain.
#[must_use]
pub fn outside(requests: &[Request], parts: &[Range<u64>]) -> u64 {
    let inside = |request: &Request| {
        let end = request.from + request.sent;
        let both =
            |part: &Range<u64>| end.min(part.end).saturating_sub(request.from.max(part.start));
        parts.iter().map(both).sum::<u64>()
    };
    requests.iter().map(|request| request.sent.saturating_sub(inside(request))).sum()
}

/// A part of a whole, in percent.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a percentage for a person to read")]
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".into() } else { format!("{:.3} %", part as f64 * 100.0 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(from: u64, sent: u64) -> Request {
        Request { path: "/iso".into(), from, sent }
    }

    #[test]
    fn what_comes_before_a_part_counts_up_to_its_first_byte() {
        let requests = [request(0, 100), request(500, 10), request(200, 100), request(700, 1)];
        assert_eq!(bytes(&requests), 211);
        assert_eq!(before(&requests, &(250..300)), (160, 2));
        assert_eq!(before(&requests, &(0..300)), (0, 0));
        assert_eq!(before(&requests, &(300..400)), (211, 4), "it was never sent");
        assert_eq!(before(&[request(5, 0)], &(5..6)), (0, 1), "nothing was");
    }

    #[test]
    fn what_is_outside_is_all_but_the_parts() {
        let requests = [request(0, 100), request(500, 10), request(90, 20)];
        assert_eq!(outside(&requests, &[]), 130);
        assert_eq!(outside(&requests, &[95..100, 500..600]), 130 - 5 - 10 - 5);
        assert_eq!(outside(&requests, std::slice::from_ref(&(0..1000))), 0);
    }

    #[test]
    fn percentages_have_three_digits_behind_the_point() {
        assert_eq!(percent(1, 200), "0.500 %");
        assert_eq!(percent(1, 0), "-");
    }
}
