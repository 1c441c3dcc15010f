//! Statistics of drift, performance and fairness: pure functions of numbers.
