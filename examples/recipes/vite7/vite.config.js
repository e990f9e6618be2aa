export default {
  // The worker loads what it needs by import().
  worker: { format: "es" },
  // What the development server bundles ahead loses its worker.
  optimizeDeps: { exclude: ["shadenet"] },
};
