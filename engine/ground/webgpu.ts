// The objects of WebGPU that the library's own types name, for TypeScript before 6 without @webgpu/types: an empty interface
// joins whatever else declares it. An alias cannot, so that public types spell out what WebGPU has as aliases.

declare global {
  interface GPU {}
  interface GPUAdapter {}
  interface GPUBindGroup {}
  interface GPUBuffer {
    readonly size: number;
    readonly usage: number;
  }
  interface GPUCommandEncoder {}
  interface GPUComputePassEncoder {}
  interface GPUComputePipeline {}
  interface GPUDevice {}
  interface GPURequestAdapterOptions {}
  interface GPUTexture {
    // So that not everything is one.
    readonly mipLevelCount: number;
    readonly sampleCount: number;
  }
}

export {};
