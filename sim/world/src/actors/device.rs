//! One device's actor.

use crate::actors::Deliver;
use crate::device::{DeviceCore, DeviceMemory};
use crate::effect::View;
use crate::plan::Plan;
use actix::prelude::*;
use std::sync::Arc;

/// A shell over [`DeviceCore`].
pub(super) struct Device {
    pub core: DeviceCore,
    pub plan: Arc<Plan>,
}

/// Ends the actor and yields what the device keeps.
#[derive(actix::Message)]
#[rtype(result = "DeviceMemory")]
pub(super) struct Passivate;

impl Actor for Device {
    type Context = Context<Self>;
}

impl Handler<Deliver> for Device {
    type Result = MessageResult<Deliver>;

    fn handle(&mut self, deliver: Deliver, _context: &mut Self::Context) -> Self::Result {
        MessageResult(self.core.on(deliver.message, &View { now: deliver.now, plan: &self.plan }))
    }
}

impl Handler<Passivate> for Device {
    type Result = MessageResult<Passivate>;

    fn handle(&mut self, _passivate: Passivate, context: &mut Self::Context) -> Self::Result {
        context.stop();
        MessageResult(self.core.memory().clone())
    }
}
