//! A table for a terminal and for Markdown alike.

use std::fmt;

/// Rows of cells under headings. The first column is set left, the others right.
#[derive(Debug, Default)]
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with these headings.
    pub fn new<S: Into<String>>(headings: impl IntoIterator<Item = S>) -> Self {
        Self(vec![headings.into_iter().map(Into::into).collect()])
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.0.push(cells.into_iter().map(Into::into).collect());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        (0..columns).map(width).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (line, row) in self.0.iter().enumerate() {
            for (column, &width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                if column == 0 {
                    write!(f, "| {cell:width$} ")?;
                } else {
                    write!(f, "| {cell:>width$} ")?;
                }
            }
            writeln!(f, "|")?;
            if line == 0 {
                for (column, &width) in widths.iter().enumerate() {
                    let colon = if column == 0 { '-' } else { ':' };
                    write!(f, "|{}{colon}", "-".repeat(width + 1))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// A number of bytes in the largest unit that has it whole: "4 KiB".
#[must_use]
pub fn bytes(size: usize) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = units.into_iter().find(|(shift, _)| size >> shift << shift == size && size > 0);
    whole.map_or_else(|| format!("{size} B"), |(shift, unit)| format!("{} {unit}", size >> shift))
}

/// "So many times", with three digits that count.
#[must_use]
pub fn times(ratio: f64) -> String {
    match ratio {
        ..9.995 => format!("{ratio:.2}"),
        ..99.95 => format!("{ratio:.1}"),
        _ => format!("{ratio:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["VMM", "ms"]);
        table.row(["chukka", "7"]);
        table.row(["pc", "10.5"]);
        let expected =
            "| VMM    |   ms |\n|--------|-----:|\n| chukka |    7 |\n| pc     | 10.5 |\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn sizes_have_the_largest_unit_that_fits() {
        assert_eq!(
            [0, 16, 4096, 3 << 20, 1 << 30].map(bytes),
            ["0 B", "16 B", "4 KiB", "3 MiB", "1 GiB"]
        );
    }

    #[test]
    fn multiples_have_three_digits() {
        assert_eq!(
            [0.034, 1.0, 9.999, 12.34, 12_345.6].map(times),
            ["0.03", "1.00", "10.0", "12.3", "12346"]
        );
    }
}
