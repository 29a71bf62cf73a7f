//! One metric family: its name, its help and a number for each set of labels.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::seconds::{SECOND_BOUNDS, Seconds};

type Labels<'a> = &'a [(&'a str, &'a str)];

fn pairs(labels: Labels<'_>) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

/// One family of metrics while it is being filled.
pub(super) struct Family(MetricFamily, Vec<Metric>);

impl Family {
    pub(super) fn new(name: &str, kind: MetricType, help: &str) -> Self {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        Self(family, Vec::new())
    }

    pub(super) fn counter(name: &str, help: &str) -> Self {
        Self::new(name, MetricType::COUNTER, help)
    }

    pub(super) fn gauge(name: &str, help: &str) -> Self {
        Self::new(name, MetricType::GAUGE, help)
    }

    pub(super) fn histogram(name: &str, help: &str) -> Self {
        Self::new(name, MetricType::HISTOGRAM, help)
    }

    pub(super) fn count(&mut self, labels: Labels<'_>, value: u64) {
        self.sum(labels, value as f64);
    }

    /// A counter of what is no number of things.
    pub(super) fn sum(&mut self, labels: Labels<'_>, value: f64) {
        let mut counter = Counter::default();
        counter.set_value(value);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_counter(counter);
        self.1.push(metric);
    }

    pub(super) fn set(&mut self, labels: Labels<'_>, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_gauge(gauge);
        self.1.push(metric);
    }

    /// `counts` are not cumulative and have one more entry than `bounds`.
    pub(super) fn buckets(&mut self, labels: Labels<'_>, bounds: &[f64], counts: &[u64], sum: f64) {
        let mut histogram = Histogram::default();
        let mut cumulative = 0;
        let mut buckets = Vec::with_capacity(bounds.len());
        for (bound, count) in bounds.iter().zip(counts) {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(cumulative);
            buckets.push(bucket);
        }
        histogram.set_bucket(buckets);
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(histogram);
        self.1.push(metric);
    }

    pub(super) fn seconds(&mut self, labels: Labels<'_>, seconds: &Seconds) {
        self.buckets(labels, &SECOND_BOUNDS, &seconds.buckets, seconds.sum.as_secs_f64());
    }

    pub(super) fn done(mut self) -> MetricFamily {
        self.0.set_metric(self.1);
        self.0
    }
}
