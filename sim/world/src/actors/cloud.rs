//! The cloud's actor.

use crate::actors::{Answer, Deliver};
use crate::coordination::CloudCore;
use crate::effect::{Effect, View};
use crate::plan::Plan;
use actix::prelude::*;
use std::sync::Arc;

/// A shell over [`CloudCore`].
pub(super) struct Cloud {
    pub core: CloudCore,
    pub plan: Arc<Plan>,
}

impl Actor for Cloud {
    type Context = Context<Self>;
}

impl Handler<Deliver> for Cloud {
    type Result = MessageResult<Deliver>;

    fn handle(&mut self, deliver: Deliver, _context: &mut Self::Context) -> Self::Result {
        let effects: Vec<Effect> =
            self.core.on(deliver.message, &View { now: deliver.now, plan: &self.plan });
        MessageResult(Answer { effects, memory: None })
    }
}
