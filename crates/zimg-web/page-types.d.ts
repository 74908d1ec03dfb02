// Types of the page, for `tsc --checkJs` alone; the API's objects are those of /zimg/v1.

export interface Sides { min: number; max: number; multiple: number }

export type Value = string | number | boolean;
export type Values = Record<string, Value>;

export interface Parameter {
  name: string;
  type: "text" | "integer" | "real" | "flag";
  min: number | string | null;
  max: number | string | null;
  multiple: number | null;
  max_bytes: number | null;
  default: Value | null;
  from_model: boolean;
  required: boolean;
  unit: string | null;
  advanced: boolean;
  help: string;
  details: string | null;
}

export interface Failure { kind: string; message: string; hint: string | null }

export interface Waiting {
  state: string;
  position?: number;
  done?: number;
  total?: number;
  in_ms?: number;
  reason?: string;
  message?: string;
  hint?: string;
}

export interface Picture {
  id: string; image: number; seed: string; width: number; height: number;
  /** Of the page itself: the last preview. */
  preview?: string;
}

export interface Job {
  id: string;
  state: "waiting" | "running" | "done" | "failed" | "blocked";
  position: number | null;
  image: number | null;
  step: number | null;
  of: number | null;
  count: number;
  params: Values & { prompt: string };
  prompt_cut?: boolean;
  started: { model: string; width: number; height: number; steps: number; guidance: number } | null;
  priority: "interactive" | "batch";
  accepted_ms: number;
  expires_ms: number | null;
  eta_ms: number | null;
  failure: Failure | null;
  images: Picture[];
  /** Of the page itself: why the job waits, its last preview, when `eta_ms` came, and what it was started from. */
  waiting?: Waiting;
  references?: Reference[];
  preview?: string;
  eta_at?: number;
  decoding?: boolean;
  cancelling?: boolean;
}

export interface Model {
  name: string; device: string; dtype: string;
  width: number; height: number; steps: number; guidance: number; max_tokens: number;
}

export interface Capabilities {
  parameters: string[];
  guidance: boolean; negative_prompt: boolean;
  side_min: number; side_max: number; side_multiple: number; images_max: number;
  initial_image: boolean; mask: boolean; control_image: boolean; lora: boolean;
}

export interface Status {
  daemon: Waiting;
  model: Model | null;
  capabilities: Capabilities | null;
  queued: number;
  unfinished: number;
  wait_ms: number | null;
  limits: { jobs: number; jobs_per_user: number } | null;
  retention: { seconds: number } | null;
  front: { version: string; formats: string[] };
}

/** A stroke of the brush over the initial image, in pixels of the mask; without points all is cleared. */
export interface Stroke { erase: boolean; size: number; points: [number, number][] }

export interface Reference {
  role: "initial" | "mask" | "control"; data: string; name: string;
  /** Of an initial image: another shape than that of the size, and pixels more (left, top, right, bottom). */
  fit?: string; margins?: [number, number, number, number];
  /** Of a mask. */
  invert?: boolean; blur?: number;
  /** Of the page itself: the file's data URL, and how the mask was painted on which. */
  url: string; strokes?: Stroke[]; base?: Reference | null;
}

export interface Lora {
  name: string; kind: string | null; rank: number | null; title: string | null; base_model: string | null;
  trigger_words: string[]; bytes: number; remarks: string[]; problem: string | null;
}

declare global {
  interface HTMLElementTagNameMap {
    "z-form": HTMLElement; "z-now": HTMLElement; "z-gallery": HTMLElement; "z-viewer": HTMLElement; "z-status": HTMLElement;
  }
}
