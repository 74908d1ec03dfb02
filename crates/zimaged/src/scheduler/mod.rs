//! Scheduling: the queue (two priority classes, preemption, round-robin between users), and
//! estimates of how long jobs take.

pub(crate) mod estimates;
pub(crate) mod forecast;
pub(crate) mod queue;
