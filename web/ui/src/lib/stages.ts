// The stages, as they are shown. A stage is told by its glyph's shape and its
// name; colour only helps.

export interface StageLook {
  name: string;
  /** The class that carries its colour. */
  class: string;
  /** What it says of a step, in words. */
  means: string;
}

const looks: Record<string, StageLook> = {
  ingestion: { name: "Ingestion", class: "st-ingestion", means: "came into the company here: no archived parent" },
  enrichment: { name: "Enrichment", class: "st-enrichment", means: "kept everything its parent had and added to it" },
  transformation: { name: "Transformation", class: "st-transformation", means: "changed or dropped what its parent had" },
  delivery: { name: "Delivery", class: "st-delivery", means: "left the pipeline here" },
  "dead-letter": { name: "Dead letter", class: "st-dead", means: "could not be processed and was put aside" },
  replay: { name: "Replay", class: "st-replay", means: "was produced again from the archive" },
};

export function stageLook(stage: string): StageLook {
  return looks[stage] ?? { name: stage && stage !== "unknown" ? stage : "Unknown", class: "st-unknown", means: "nothing says what this step did" };
}
