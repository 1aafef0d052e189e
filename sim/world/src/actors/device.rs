//! One device's actor.

use crate::actors::{Answer, Deliver};
use crate::device::DeviceCore;
use crate::effect::{Effect, View};
use crate::plan::Plan;
use actix::prelude::*;
use std::sync::Arc;

/// A shell over [`DeviceCore`].
pub(super) struct Device {
    pub core: DeviceCore,
    pub plan: Arc<Plan>,
    /// Whether it stays an actor when it has nothing to do.
    pub stays: bool,
}

impl Actor for Device {
    type Context = Context<Self>;
}

impl Handler<Deliver> for Device {
    type Result = MessageResult<Deliver>;

    /// A device that rests hands its memory back with its last answer.
    fn handle(&mut self, deliver: Deliver, context: &mut Self::Context) -> Self::Result {
        let effects = self.core.on(deliver.message, &View { now: deliver.now, plan: &self.plan });
        let rests = !self.stays && effects.iter().any(|effect| matches!(effect, Effect::Passivate));
        let memory = rests.then(|| {
            context.stop();
            self.core.take_memory()
        });
        MessageResult(Answer { effects, memory })
    }
}
