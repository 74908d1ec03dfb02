//! Names of the structured log events: every line of the daemon's log has a field `event` with one
//! of them. Names and fields are stable, sentences are not. docs/operations.md has the same list.

/// The socket accepts connections.
pub(crate) const LISTENING: &str = "listening";
/// The daemon cannot start.
pub const START_FAILED: &str = "start_failed";
/// A connection cannot be accepted; logged at most once a minute.
pub(crate) const ACCEPT_FAILED: &str = "accept_failed";
/// A client has closed its connection.
pub(crate) const CONNECTION_CLOSED: &str = "connection_closed";
/// The daemon has closed a connection.
pub(crate) const CONNECTION_DROPPED: &str = "connection_dropped";
/// Lines of the log were lost; it takes lines again.
pub(crate) const LOG_LINES_LOST: &str = "log_lines_lost";
/// A bug in the daemon: a thread or a task of it has ended.
pub(crate) const PANICKED: &str = "panicked";
/// The service manager's notification socket refuses a message.
pub(crate) const NOTIFY_FAILED: &str = "notify_failed";
/// SIGHUP was received; only a restart reads a new configuration.
pub(crate) const RELOAD_IGNORED: &str = "reload_ignored";
/// The daemon was suspended; timeouts start again.
pub(crate) const SUSPENSION_EXCUSED: &str = "suspension_excused";
/// The daemon shuts down; running jobs have a limited time to end.
pub(crate) const SHUTDOWN_STARTED: &str = "shutdown_started";
/// At shutdown, running jobs are ended: by a second signal, or after their time.
pub(crate) const RUNNING_JOBS_ABANDONED: &str = "running_jobs_abandoned";
/// At shutdown, killed workers have not exited.
pub(crate) const WORKERS_STUCK: &str = "workers_stuck";
/// At shutdown, clients have not read all of their answers.
pub(crate) const CLIENTS_UNFINISHED: &str = "clients_unfinished";
/// The daemon has stopped.
pub(crate) const STOPPED: &str = "stopped";
/// A job is refused before it is queued.
pub(crate) const JOB_REFUSED: &str = "job_refused";
/// A job has ended.
pub(crate) const JOB_ENDED: &str = "job_ended";
/// The disk refuses a new detached job, and so does the daemon.
pub(crate) const JOB_NOT_STORED: &str = "job_not_stored";
/// A detached job starts from its first image, because the daemon has another model.
pub(crate) const JOB_RESTARTED: &str = "job_restarted";
/// The disk refuses an image of a detached job, which waits.
pub(crate) const JOB_BLOCKED: &str = "job_blocked";
/// A blocked detached job goes on.
pub(crate) const JOB_UNBLOCKED: &str = "job_unblocked";
/// The disk refuses the end of a detached job.
pub(crate) const JOB_END_NOT_STORED: &str = "job_end_not_stored";
/// The disk refuses to delete a detached job.
pub(crate) const JOB_NOT_DELETED: &str = "job_not_deleted";
/// The retention of a detached job is over.
pub(crate) const JOB_EXPIRED: &str = "job_expired";
/// A stored image is damaged and is generated again.
pub(crate) const IMAGE_DAMAGED: &str = "image_damaged";
/// No detached jobs are stored, as configured.
pub(crate) const STORE_OFF: &str = "store_off";
/// The job store cannot be opened; detached jobs are refused.
pub(crate) const STORE_UNAVAILABLE: &str = "store_unavailable";
/// The job store is damaged; it has been moved aside.
pub(crate) const STORE_DAMAGED: &str = "store_damaged";
/// The job store is open.
pub(crate) const STORE_OPENED: &str = "store_opened";
/// The file system of the job store has no modes; other users may read the jobs.
pub(crate) const STORE_IS_READABLE: &str = "store_is_readable";
/// The job store takes long to open; attached jobs run meanwhile.
pub(crate) const STORE_SLOW: &str = "store_slow";
/// At shutdown, the disk has not accepted the last changes in time.
pub(crate) const STORE_UNFINISHED: &str = "store_unfinished";
/// A worker is ready for jobs.
pub(crate) const WORKER_READY: &str = "worker_ready";
/// A worker has ended; it is started again after a back-off.
pub(crate) const WORKER_RESTARTED: &str = "worker_restarted";
/// A worker cannot generate and is not started again for now.
pub(crate) const WORKER_FAILED: &str = "worker_failed";
/// A worker has decided what of the model lies on its device.
pub(crate) const MEMORY_PLANNED: &str = "memory_planned";
/// Memory is too small for a worker's plan; it is started again with a smaller one.
pub(crate) const MEMORY_REPLANNED: &str = "memory_replanned";
/// A line that a worker or one of its libraries has printed.
pub(crate) const WORKER_OUTPUT: &str = "worker_output";
/// A worker reads no commands, because it is about to exit.
pub(crate) const COMMAND_DROPPED: &str = "command_dropped";
/// A command for a worker cannot be encoded.
pub(crate) const COMMAND_INVALID: &str = "command_invalid";
/// A worker's last message is incomplete.
pub(crate) const REPORT_TRUNCATED: &str = "report_truncated";
/// A worker cannot be killed.
pub(crate) const KILL_FAILED: &str = "kill_failed";
/// A worker has handed over its weights.
pub(crate) const WEIGHTS_RETAINED: &str = "weights_retained";
/// A worker starts without retained weights, because no channel can be created.
pub(crate) const WEIGHTS_CHANNEL_FAILED: &str = "weights_channel_failed";
/// A worker does not read the reply on the channel for weights.
pub(crate) const WEIGHTS_REPLY_FAILED: &str = "weights_reply_failed";
/// A message on the channel for weights is invalid.
pub(crate) const WEIGHTS_MESSAGE_INVALID: &str = "weights_message_invalid";
/// The fd store has returned only part of the retained weights, which are dropped.
pub(crate) const WEIGHTS_INCOMPLETE: &str = "weights_incomplete";
/// The fd store has returned weights of a worker that is not configured.
pub(crate) const WEIGHTS_UNCLAIMED: &str = "weights_unclaimed";
/// The machine is out of memory; retained weights are dropped.
pub(crate) const WEIGHTS_DROPPED_FOR_MEMORY: &str = "weights_dropped_for_memory";
/// Workers with the retained weights have not become ready; the weights are dropped.
pub(crate) const WEIGHTS_REJECTED: &str = "weights_rejected";
