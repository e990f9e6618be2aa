import type { Matrices } from "./variant.ts";

/**
 * A source that multiplies matrices, for a device. It is written for factors in f16, for subgroups whose size a kernel asks
 * for, and for loads and stores with the order of elements as a parameter of their type; constants say the rest.
 */
export function sourceFor(source: string, { factors, sized, orderArgument }: Matrices): string {
  let code = source;
  if (factors === "f32") {
    code = code.replace("enable f16;", "").replace(/^alias (Real|Factor) *= *f16;/gm, "alias $1 = f32;");
  }
  if (!sized) code = code.replace("enable subgroup_size_control;", "").replace("@subgroup_size(SUBGROUP)", "");
  if (orderArgument) {
    code = code
      .replace(/(subgroupMatrixLoad<\w+), *row_major>(\(.*?), *(\w+\))/g, "$1>$2, false, $3")
      .replace(/(subgroupMatrixStore)<row_major>(\(.*?), *(\w+\))/g, "$1$2, false, $3");
  }
  return code;
}

/** The constants that such a source has of a device. */
export const constsFor = ({ subgroup, m, n, k }: Matrices) => ({ SUBGROUP: subgroup, M: m, N: n, K: k });
