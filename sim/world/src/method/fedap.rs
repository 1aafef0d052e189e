//! FedAP: federated averaging of bottleneck adapters `h ← h + W_up σ(W_down h)`, after attention and after the MLP of
//! every block.
//!
//! Zhang et al. 2023, "FedPETuning" (arXiv 2212.10025), whose FedAP averages Houlsby's adapters (arXiv 1902.00751) as
//! FedAvg averages LoRA, by n_k. Which values a model trains is said by its adapter, so this is fedavg under another name and
//! with another demand on `[models]`; the scenario language holds it to that.

use super::fedavg::FedAvg;
use crate::lab::Lab;
use cotune_scenario::method as written;

const CITATION: &str = "FedAP of FedPETuning, Zhang et al. 2023, arXiv 2212.10025; adapters: Houlsby et al. 2019, arXiv 1902.00751";

/// Federated averaging of bottleneck adapters.
pub(super) fn made(lab: &Lab, table: &written::FedAp) -> FedAvg {
    FedAvg::called("fedap", CITATION, lab, &table.0)
}
