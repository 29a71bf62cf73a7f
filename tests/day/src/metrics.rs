//! Strop's metrics, read from their text.

use std::collections::BTreeMap;

/// One sample's labels.
pub type Labels = BTreeMap<String, String>;

/// All samples of one scrape.
#[derive(Debug, Default)]
pub struct Metrics(Vec<(String, Labels, f64)>);

impl Metrics {
    /// Reads the text format.
    pub fn read(text: &str) -> Self {
        Self(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// Samples of a family.
    pub fn of<'a>(&'a self, family: &'a str) -> impl Iterator<Item = (&'a Labels, u64)> {
        let named = self.0.iter().filter(move |(name, ..)| name == family);
        named.map(|(_, labels, value)| (labels, *value as u64))
    }

    /// The sum of a family's samples that have all these labels.
    pub fn sum(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        let fits =
            |has: &Labels| labels.iter().all(|(name, value)| has.get(*name).is_some_and(|is| is == value));
        self.of(family).filter(|(has, _)| fits(has)).map(|(_, value)| value).sum()
    }
}

fn sample(line: &str) -> Option<(String, Labels, f64)> {
    let (name, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = name.split_once('{') else {
        return Some((name.to_owned(), Labels::new(), value));
    };
    let pairs = rest.trim_end_matches('}').split("\",");
    let labels = pairs.filter_map(|pair| {
        let (name, value) = pair.split_once("=\"")?;
        Some((name.to_owned(), value.trim_end_matches('"').to_owned()))
    });
    Some((name.to_owned(), labels.collect(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_by_their_labels() {
        let metrics = Metrics::read(
            "# HELP a b\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4\nb 5\na{x=\"2\",y=\"2\"} 6\n",
        );
        assert_eq!(metrics.sum("a", &[("x", "1")]), 7);
        assert_eq!(metrics.sum("a", &[("y", "2")]), 9);
        assert_eq!(metrics.sum("b", &[]), 5);
    }
}
