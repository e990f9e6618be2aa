import { check, checkCount } from "../ground/errors.ts";

/** A learning rate for every step, counted from 0. */
export type Schedule = (step: number) => number;

/** `lr` times `factor` after every `every` steps: torch.optim.lr_scheduler.StepLR. */
export function stepSchedule(lr: number, every: number, factor = 0.1): Schedule {
  checkCount("every", every);
  return (step) => lr * factor ** Math.floor(step / every);
}

const between = (from: number, to: number, share: number): number =>
  to + ((from - to) / 2) * (1 + Math.cos(Math.PI * share));

/** From `lr` to `least` by half a cosine in `steps` steps, and on at `least`: torch.optim.lr_scheduler.CosineAnnealingLR. */
export function cosineSchedule(lr: number, steps: number, least = 0): Schedule {
  checkCount("steps", steps);
  return (step) => between(lr, least, Math.min(step / steps, 1));
}

/**
 * From lr / 25 up to `lr` in the first `rise` of `steps` steps, then down to lr / 250,000, each by half a cosine:
 * torch.optim.lr_scheduler.OneCycleLR (Smith and Topin, "Super-convergence", 2018), without its change of momentum.
 */
export function oneCycleSchedule(lr: number, steps: number, rise = 0.3): Schedule {
  checkCount("steps", steps);
  check(Number.isFinite(rise) && rise > 0 && rise < 1, "rise", rise, "between 0 and 1");
  const top = rise * steps - 1;
  return (step) =>
    step <= top
      ? between(lr / 25, lr, step / top)
      : between(lr, lr / 250_000, Math.min((step - top) / (steps - 1 - top), 1));
}
