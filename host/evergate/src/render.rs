//! Tables and figures for people.

/// Rows of text under headings, columns as wide as their widest cell.
pub(crate) struct Grid {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Grid {
    /// A grid with these headings; those that begin with '>' are aligned to the right.
    pub(crate) fn new(headings: &[&str]) -> Grid {
        let right = headings.iter().map(|h| h.starts_with('>')).collect();
        let names = headings.iter().map(|h| h.trim_start_matches('>').to_owned()).collect();
        Grid { rows: vec![names], right }
    }

    /// Adds a row; it has as many cells as there are headings.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The text, with a line break at its end.
    pub(crate) fn render(&self) -> String {
        let widths: Vec<usize> = (0..self.right.len())
            .map(|c| self.rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .zip(&self.right)
                .map(
                    |((cell, &width), &right)| {
                        if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                    },
                )
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// "1d 02:03:04", as pfctl shows ages.
pub(crate) fn clock(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let text = format!("{:02}:{:02}:{:02}", rest / 3_600, rest / 60 % 60, rest % 60);
    if days == 0 { text } else { format!("{days}d {text}") }
}

/// "1.5 GB": decimal units, three figures.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1_000.0 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Protocols that have a name here.
const PROTOCOLS: [(&str, u8); 7] =
    [("icmp", 1), ("igmp", 2), ("tcp", 6), ("udp", 17), ("gre", 47), ("esp", 50), ("icmp6", 58)];

/// The name of a protocol, or its number.
pub(crate) fn proto_name(number: u8) -> String {
    PROTOCOLS
        .iter()
        .find(|(_, n)| *n == number)
        .map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

/// The number of a protocol given by name or number.
pub(crate) fn proto_number(name: &str) -> Option<u8> {
    PROTOCOLS.iter().find(|(n, _)| *n == name).map(|(_, n)| *n).or_else(|| name.parse().ok())
}

/// An address and port as pf writes them: "10.0.0.1:80", "fd00::1[80]".
pub(crate) fn endpoint(addr: std::net::IpAddr, port: u16) -> String {
    match addr {
        std::net::IpAddr::V4(v4) => format!("{v4}:{port}"),
        std::net::IpAddr::V6(v6) => format!("{v6}[{port}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut grid = Grid::new(&["name", ">n"]);
        grid.row(vec!["a".into(), "10".into()]);
        grid.row(vec!["long".into(), "7".into()]);
        assert_eq!(grid.render(), "name   n\na     10\nlong   7\n");
    }

    #[test]
    fn figures_are_written_for_people() {
        assert_eq!(clock(90_061), "1d 01:01:01");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_500_000), "1.5 MB");
        assert_eq!(proto_number("tcp"), Some(6));
        assert_eq!(proto_number("300"), None);
        assert_eq!(proto_name(132), "132");
    }
}
