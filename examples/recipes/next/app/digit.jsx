"use client";
import { useEffect, useState } from "react";
import { openWorkerGpu } from "shadenet/worker";

export function Digit({ address }) {
  const [label, setLabel] = useState("");
  useEffect(() => {
    classify(address).then(setLabel);
  }, [address]);
  return <output>{label}</output>;
}

// Called in the page alone: the server only renders what is there before.
async function classify(address) {
  const gpu = await openWorkerGpu();
  const net = await gpu.loadNet("lenet5");
  const digit = await (await fetch(address)).blob();
  const [{ label }] = await net.classify(digit);
  gpu.close();
  return label;
}
