//! Scheduling: two priority classes, preemption at step boundaries, round-robin between users, and
//! estimates of how long jobs take.

pub(crate) mod estimates;
pub(crate) mod queue;
