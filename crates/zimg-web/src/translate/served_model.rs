//! The served model, for lists of models: a daemon that loads it is waited for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use zimg_client::{ModelInfo, WorkerState};

use crate::App;
use crate::problem::Problem;

/// How long a list of models waits for a model that is being loaded. Clients show a list that has
/// failed as a server that is not there, until they are started again.
const WAIT: Duration = Duration::from_secs(20);
const INTERVAL: Duration = Duration::from_millis(200);

/// The model.
///
/// # Errors
///
/// No daemon answers, or it has no model and loads none.
pub(crate) async fn served_model(app: &App) -> Result<Arc<ModelInfo>, Problem> {
    let end = Instant::now() + WAIT;
    loop {
        let problem = match app.daemon.model().await {
            Ok(model) => return Ok(model),
            Err(problem) => problem,
        };
        // A daemon that does not answer has its sentence here.
        let overview = app.daemon.overview().await?;
        let comes = matches!(
            overview.status.first_worker().state,
            WorkerState::Starting
                | WorkerState::Loading { .. }
                | WorkerState::Warming
                | WorkerState::Restarting { .. }
        );
        if !comes || Instant::now() > end {
            return Err(problem);
        }
        sleep(INTERVAL).await;
    }
}
