// Generated from the .wgsl files by generate_wgsl.mjs (npm run wgsl); do not edit.

export const copy = `




const WORKGROUP:u32=64;

struct Params{
count:u32,
}

@group(0)@binding(0)var<storage,read>x:array<vec4f>;
@group(0)@binding(1)var<storage,read_write>y:array<vec4f>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index<params.count){
y[index]=x[index];
}
}
`;

export const relu = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let v=f32(x[index]);
let bits=bitcast<u32>(v);
y[index]=Real(select(v,0.0,bits>=0x80000000u&&bits<=0xff800000u));
}
`;

export const silu = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let v=f32(x[index]);
let is_nan=(bitcast<u32>(v)&0x7fffffffu)>0x7f800000u;
y[index]=Real(select(v/(1.0+exp(-v)),v,is_nan));
}
`;

export const sigmoid = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let v=f32(x[index]);
let is_nan=(bitcast<u32>(v)&0x7fffffffu)>0x7f800000u;
y[index]=Real(select(1.0/(1.0+exp(-v)),v,is_nan));
}
`;

export const hardsigmoid = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let v=f32(x[index]);
let is_nan=(bitcast<u32>(v)&0x7fffffffu)>0x7f800000u;
y[index]=Real(select(clamp(v+3.0,0.0,6.0)/6.0,v,is_nan));
}
`;

export const hardswish = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let v=f32(x[index]);
let is_nan=(bitcast<u32>(v)&0x7fffffffu)>0x7f800000u;
y[index]=Real(select(v*clamp(v+3.0,0.0,6.0)/6.0,v,is_nan));
}
`;

export const leaky_relu = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
negativeSlope:f32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let v=f32(x[index]);
let is_negative=(bitcast<u32>(v)&0x80000000u)!=0;
y[index]=Real(v*select(1.0,params.negativeSlope,is_negative));
}
`;

export const concat = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
size_inner:u32,
y_size_inner:u32,
offset:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let outer=index/params.size_inner;
y[outer*params.y_size_inner+params.offset+index%params.size_inner]=x[index];
}
`;

export const clamp = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
low:f32,
high:f32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let v=f32(x[index]);
let is_nan=(bitcast<u32>(v)&0x7fffffffu)>0x7f800000u;
y[index]=Real(select(min(max(v,params.low),params.high),v,is_nan));
}
`;

export const channel_shuffle = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
channels:u32,
inner:u32,
groups:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let c=index/params.inner%params.channels;
let from_c=c%params.groups*(params.channels/params.groups)+c/params.groups;
y[index]=x[index-c*params.inner+from_c*params.inner];
}
`;

export const to_nchw = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
pixels:u32,
x_channels:u32,
y_channels:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let pixel=index%params.pixels;
let c=index/params.pixels%params.y_channels;
let n=index/(params.pixels*params.y_channels);
y[index]=x[(n*params.pixels+pixel)*params.x_channels+c];
}
`;

export const tanh = `






const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let v=f32(x[index]);
let s=v*v;
let series=v*(1.0-s*(1.0/3.0-s*(2.0/15.0-s*(17.0/315.0-s*(62.0/2835.0)))));

let far=sign(v)*(1.0-2.0/(exp(2.0*min(abs(v),10.0))+1.0));
let is_nan=(bitcast<u32>(v)&0x7fffffffu)>0x7f800000u;
y[index]=Real(select(select(far,series,s<0.09),v,is_nan));
}
`;

export const peak = `







const WORKGROUP:u32=64;
const REPEATS:u32=128;


const UNROLLED=32u;

struct Params{
count:u32,
}

@group(0)@binding(0)var<storage,read>x:array<f32>;
@group(0)@binding(1)var<storage,read_write>y:array<f32>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(
@builtin(global_invocation_id)gid:vec3u,
@builtin(num_workgroups)groups:vec3u,
@builtin(local_invocation_index)lid:u32,
){
let factor=vec4f(x[0]);
let term=vec4f(x[1]);

var a=vec4f(0,1,2,3)+f32(lid);
var b=vec4f(4,5,6,7)+f32(lid);
for(var i=0u;i<REPEATS;i++){
for(var j=0u;j<UNROLLED;j++){
a=a*factor+term;
b=b*factor+term;
}
}
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index<params.count){
y[index]=dot(a+b,vec4f(1));
}
}
`;

export const gelu = `





const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

fn erf(v:f32)->f32{
let t=1.0/(1.0+0.3275911*abs(v));
let polynomial=t*(0.254829592+t*(-0.284496736+t*(1.421413741+t*(-1.453152027+t*1.061405429))));
return sign(v)*(1.0-polynomial*exp(-v*v));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let v=f32(x[index]);
let is_nan=(bitcast<u32>(v)&0x7fffffffu)>0x7f800000u;
y[index]=Real(select(0.5*v*(1.0+erf(v*0.7071067811865476)),v,is_nan));
}
`;

export const pad = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
x_height:u32,x_width:u32,
y_height:u32,y_width:u32,
top:u32,left:u32,
value:f32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}

let column=index%params.y_width-params.left;
let row=index/params.y_width%params.y_height-params.top;
let plane=index/(params.y_width*params.y_height);
var v=params.value;
if(row<params.x_height&&column<params.x_width){
v=f32(x[(plane*params.x_height+row)*params.x_width+column]);
}
y[index]=Real(v);
}
`;

export const matmul = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
m:u32,
n:u32,
k:u32,
a_stride:u32,
b_stride:u32,
}

@group(0)@binding(0)var<storage,read>a:array<Real>;
@group(0)@binding(1)var<storage,read>b:array<Real>;
@group(0)@binding(2)var<storage,read_write>y:array<Real>;
@group(0)@binding(3)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let j=index%params.n;
let i=index/params.n%params.m;
let batch=index/(params.n*params.m);
let a_first=batch*params.a_stride+i*params.k;
let b_first=batch*params.b_stride+j;
var sum=0.0;
for(var k=0u;k<params.k;k++){
sum+=f32(a[a_first+k])*f32(b[b_first+k*params.n]);
}
y[index]=Real(sum);
}
`;

export const to_nhwc = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
pixels:u32,
x_channels:u32,
y_channels:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<vec4<Real>>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let pixel=index%params.pixels;
let c=index/params.pixels%params.y_channels;
let n=index/(params.pixels*params.y_channels);
var v=vec4f();
for(var e=0u;e<4;e++){
let channel=c*4+e;
if(channel<params.x_channels){
v[e]=f32(x[(n*params.x_channels+channel)*params.pixels+pixel]);
}
}
y[(n*params.pixels+pixel)*params.y_channels+c]=vec4<Real>(v);
}
`;

export const lrn = `





const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
channels:u32,
inner:u32,
size:u32,
alpha:f32,
beta:f32,
k:f32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let c=index/params.inner%params.channels;
let below=min(c,params.size/2);
let above=min(params.channels-1-c,(params.size-1)/2);
let first=index-below*params.inner;
var sum=0.0;
for(var q=0u;q<=below+above;q++){
let v=f32(x[first+q*params.inner]);
sum+=v*v;
}
y[index]=Real(f32(x[index])/pow(params.k+params.alpha*sum,params.beta));
}
`;

export const mul = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
size1:u32,size2:u32,size3:u32,
a0:u32,a1:u32,a2:u32,a3:u32,
b0:u32,b1:u32,b2:u32,b3:u32,
}

@group(0)@binding(0)var<storage,read>a:array<Real>;
@group(0)@binding(1)var<storage,read>b:array<Real>;
@group(0)@binding(2)var<storage,read_write>y:array<Real>;
@group(0)@binding(3)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let p3=index%params.size3;
let p2=index/params.size3%params.size2;
let p1=index/(params.size3*params.size2)%params.size1;
let p0=index/(params.size3*params.size2*params.size1);
let left=f32(a[p0*params.a0+p1*params.a1+p2*params.a2+p3*params.a3]);
let right=f32(b[p0*params.b0+p1*params.b1+p2*params.b2+p3*params.b3]);
y[index]=Real(left*right);
}
`;

export const batchnorm = `




const WORKGROUP:u32=64;
const WEIGHT:bool=true;
const BIAS:bool=true;

alias Real=f32;

struct Params{
count:u32,
channels:u32,
inner:u32,
eps:f32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read>mean:array<Real>;
@group(0)@binding(2)var<storage,read>variance:array<Real>;
@group(0)@binding(3)var<storage,read>weight:array<Real>;
@group(0)@binding(4)var<storage,read>bias:array<Real>;
@group(0)@binding(5)var<storage,read_write>y:array<Real>;
@group(0)@binding(6)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let c=index/params.inner%params.channels;
var v=(f32(x[index])-f32(mean[c]))/sqrt(f32(variance[c])+params.eps);
if(WEIGHT){
v*=f32(weight[c]);
}
if(BIAS){
v+=f32(bias[c]);
}
y[index]=Real(v);
}
`;

export const sum_splits = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
splits:u32,
channels:u32,
bias:u32,residual:u32,relu:u32,
}

@group(0)@binding(0)var<storage,read>x:array<vec4<Real>>;
@group(0)@binding(1)var<storage,read>b:array<vec4<Real>>;
@group(0)@binding(2)var<storage,read>r:array<vec4<Real>>;
@group(0)@binding(3)var<storage,read_write>y:array<vec4<Real>>;
@group(0)@binding(4)var<uniform>params:Params;


fn relu(v:vec4f)->vec4f{
let bits=bitcast<vec4u>(v);
return select(v,vec4f(),(bits>=vec4u(0x80000000u))&(bits<=vec4u(0xff800000u)));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
var sum=vec4f();
for(var split=0u;split<params.splits;split++){
sum+=vec4f(x[split*params.count+index]);
}
if(params.bias==1){
sum+=vec4f(b[index%params.channels]);
}
if(params.residual==1){
sum+=vec4f(r[index]);
}
y[index]=vec4<Real>(select(sum,relu(sum),params.relu==1));
}
`;

export const adaptive_avgpool2d = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
x_height:u32,x_width:u32,
y_height:u32,y_width:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let j=index%params.y_width;
let i=index/params.y_width%params.y_height;
let plane=index/(params.y_width*params.y_height);

let top=i*params.x_height/params.y_height;
let bottom=((i+1)*params.x_height+params.y_height-1)/params.y_height;
let left=j*params.x_width/params.y_width;
let right=((j+1)*params.x_width+params.y_width-1)/params.y_width;
var sum=0.0;
for(var row=top;row<bottom;row++){

var row_sum=0.0;
for(var column=left;column<right;column++){
row_sum+=f32(x[(plane*params.x_height+row)*params.x_width+column]);
}
sum+=row_sum;
}
y[index]=Real(sum/f32((bottom-top)*(right-left)));
}
`;

export const add = `




const WORKGROUP:u32=64;
const RELU:bool=false;

alias Real=f32;

struct Params{
count:u32,
size1:u32,size2:u32,size3:u32,
a0:u32,a1:u32,a2:u32,a3:u32,
b0:u32,b1:u32,b2:u32,b3:u32,
alpha:f32,
}

@group(0)@binding(0)var<storage,read>a:array<Real>;
@group(0)@binding(1)var<storage,read>b:array<Real>;
@group(0)@binding(2)var<storage,read_write>y:array<Real>;
@group(0)@binding(3)var<uniform>params:Params;


fn relu(v:f32)->f32{
let bits=bitcast<u32>(v);
return select(v,0.0,bits>=0x80000000u&&bits<=0xff800000u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let p3=index%params.size3;
let p2=index/params.size3%params.size2;
let p1=index/(params.size3*params.size2)%params.size1;
let p0=index/(params.size3*params.size2*params.size1);
let left=f32(a[p0*params.a0+p1*params.a1+p2*params.a2+p3*params.a3]);
let right=f32(b[p0*params.b0+p1*params.b1+p2*params.b2+p3*params.b3]);
let sum=left+params.alpha*right;
y[index]=Real(select(sum,relu(sum),RELU));
}
`;

export const softmax = `





const WORKGROUP:u32=64;
const LOG:bool=false;

alias Real=f32;

struct Params{
count:u32,
size:u32,
inner:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;


fn is_unfit(v:f32)->bool{
let bits=bitcast<u32>(v);
return(bits&0x7fffffffu)>0x7f800000u||bits==0x7f800000u;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let first=index/params.inner*params.size*params.inner+index%params.inner;

var largest=-3.4028234e38;
var sum=0.0;
var unfit=false;
for(var k=0u;k<params.size;k++){
let v=f32(x[first+k*params.inner]);
unfit=unfit||is_unfit(v);
if(v>largest){
sum=sum*exp(largest-v)+1.0;
largest=v;
}else{
sum+=exp(v-largest);
}
}

unfit=unfit||sum==0;
let nan=bitcast<f32>(select(0u,0x7fc00000u,unfit));
for(var k=0u;k<params.size;k++){
let i=first+k*params.inner;
let v=f32(x[i])-largest;
y[i]=Real(select(select(exp(v)/sum,v-log(sum),LOG),nan,unfit));
}
}
`;

export const mean = `




const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
kept1:u32,kept2:u32,kept3:u32,
reduced0:u32,reduced1:u32,reduced2:u32,reduced3:u32,
stride0:u32,stride1:u32,stride2:u32,stride3:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let p3=index%params.kept3;
let p2=index/params.kept3%params.kept2;
let p1=index/(params.kept3*params.kept2)%params.kept1;
let p0=index/(params.kept3*params.kept2*params.kept1);
let first=p0*params.stride0+p1*params.stride1+p2*params.stride2+p3*params.stride3;
var sum=0.0;
for(var q0=0u;q0<params.reduced0;q0++){
for(var q1=0u;q1<params.reduced1;q1++){
for(var q2=0u;q2<params.reduced2;q2++){

var row=0.0;
for(var q3=0u;q3<params.reduced3;q3++){
row+=f32(x[first+q0*params.stride0+q1*params.stride1+q2*params.stride2+q3*params.stride3]);
}
sum+=row;
}
}
}
y[index]=Real(sum/f32(params.reduced0*params.reduced1*params.reduced2*params.reduced3));
}
`;

export const lrn_nhwc = `





const WORKGROUP:u32=64;
const STRIP=8u;

alias Real=f32;

struct Params{
count:u32,
strips:u32,
channels:u32,
size:i32,
alpha:f32,
beta:f32,
k:f32,
}

@group(0)@binding(0)var<storage,read>x:array<vec4<Real>>;
@group(0)@binding(1)var<storage,read_write>y:array<vec4<Real>>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let first=index/params.strips*params.channels;
let start=index%params.strips*STRIP;
let end=min(start+STRIP,params.channels);
let below=params.size/2;
let above=(params.size-1)/2;

var current=vec4f(x[first+start]);
var previous=vec4f();
if(start>0){
previous=vec4f(x[first+start-1]);
}
previous*=previous;
for(var c=start;c<end;c++){
var next=vec4f();
if(c+1<params.channels){
next=vec4f(x[first+c+1]);
}
let squares=array<vec4f,3>(previous,current*current,next*next);
var sum=vec4f();
for(var o=-4;o<=4;o++){

var shifted:vec4f;
for(var e=0;e<4;e++){
let at=4+o+e;
shifted[e]=squares[at/4][at%4];
}
sum+=select(vec4f(),shifted,o>=-below&&o<=above);
}
y[first+c]=vec4<Real>(current/pow(params.k+params.alpha*sum,vec4f(params.beta)));
previous=squares[1];
current=next;
}
}
`;

export const linear = `





const WORKGROUP:u32=64;
const BIAS:bool=true;
const RELU:bool=false;

alias Real=f32;

struct Params{
count:u32,
first:u32,
rows:u32,
in_features:u32,
out_features:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read>w:array<Real>;
@group(0)@binding(2)var<storage,read>b:array<Real>;
@group(0)@binding(3)var<storage,read_write>y:array<Real>;
@group(0)@binding(4)var<uniform>params:Params;


fn relu(v:f32)->f32{
let bits=bitcast<u32>(v);
return select(v,0.0,bits>=0x80000000u&&bits<=0xff800000u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let row=index%params.rows;
let n=index/params.rows;
let o=params.first+row;

var sums=vec4f();
var k=0u;
for(;k+4<=params.in_features;k+=4){
let i=n*params.in_features+k;
let j=row*params.in_features+k;
sums+=vec4f(f32(x[i]),f32(x[i+1]),f32(x[i+2]),f32(x[i+3]))*vec4f(f32(w[j]),f32(w[j+1]),f32(w[j+2]),f32(w[j+3]));
}
for(;k<params.in_features;k++){
sums.x+=f32(x[n*params.in_features+k])*f32(w[row*params.in_features+k]);
}
var sum=(sums.x+sums.y)+(sums.z+sums.w);
if(BIAS){
sum+=f32(b[o]);
}
y[n*params.out_features+o]=Real(select(sum,relu(sum),RELU));
}
`;

export const avgpool2d = `






const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
x_height:u32,x_width:u32,
y_height:u32,y_width:u32,
kernel_height:u32,kernel_width:u32,
stride_height:u32,stride_width:u32,
pad_height:i32,pad_width:i32,
divisor:u32,
count_include_pad:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let j=index%params.y_width;
let i=index/params.y_width%params.y_height;
let plane=index/(params.y_width*params.y_height);

let size=vec2i(i32(params.x_height),i32(params.x_width));
let pad=vec2i(params.pad_height,params.pad_width);
let start=vec2i(i32(i*params.stride_height),i32(j*params.stride_width))-pad;
let padded_end=min(start+vec2i(i32(params.kernel_height),i32(params.kernel_width)),size+pad);
let first=max(start,vec2i(0));
let end=min(padded_end,size);

var sum=0.0;
for(var row=first.x;row<end.x;row++){
let x_row=(plane*params.x_height+u32(row))*params.x_width;
for(var column=first.y;column<end.y;column++){
sum+=f32(x[x_row+u32(column)]);
}
}
let window=select(end-first,padded_end-start,params.count_include_pad==1);
let divisor=select(u32(window.x*window.y),params.divisor,params.divisor>0);
y[index]=Real(sum/f32(divisor));
}
`;

export const linear_gemv = `enable subgroups;







const SUBGROUP:u32=8;
const ROWS:u32=4;
const IMAGES:u32=1;

alias Real=f32;

struct Params{
batch:u32,
first:u32,
rows:u32,
in_features:u32,
out_features:u32,
bias:u32,relu:u32,
}

@group(0)@binding(0)var<storage,read>x:array<vec4<Real>>;
@group(0)@binding(1)var<storage,read>w:array<vec4<Real>>;
@group(0)@binding(2)var<storage,read>b:array<Real>;
@group(0)@binding(3)var<storage,read_write>y:array<Real>;
@group(0)@binding(4)var<uniform>params:Params;


fn relu(v:f32)->f32{
let bits=bitcast<u32>(v);
return select(v,0.0,bits>=0x80000000u&&bits<=0xff800000u);
}

@compute @workgroup_size(SUBGROUP)
fn main(
@builtin(workgroup_id)wid:vec3u,
@builtin(num_workgroups)groups:vec3u,
@builtin(subgroup_invocation_id)lane:u32,
){
let first_row=(wid.x+wid.y*groups.x)*ROWS;
let first_image=wid.z*IMAGES;

var sums:array<array<vec4f,ROWS>,IMAGES>;
for(var k=lane;k<params.in_features;k+=SUBGROUP){
var inputs:array<vec4f,IMAGES>;
for(var n=0u;n<IMAGES;n++){
inputs[n]=vec4f(x[(first_image+n)*params.in_features+k]);
}
for(var row=0u;row<ROWS;row++){
let weights=vec4f(w[(first_row+row)*params.in_features+k]);
for(var n=0u;n<IMAGES;n++){
sums[n][row]+=inputs[n]*weights;
}
}
}
for(var row=0u;row<ROWS;row++){
for(var n=0u;n<IMAGES;n++){
var sum=subgroupAdd(dot(sums[n][row],vec4f(1)));
let o=params.first+first_row+row;
if(params.bias==1){
sum+=f32(b[o]);
}
if(lane==0&&first_row+row<params.rows&&first_image+n<params.batch){
y[(first_image+n)*params.out_features+o]=Real(select(sum,relu(sum),params.relu==1));
}
}
}
}
`;

export const maxpool2d = `






const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
x_height:u32,x_width:u32,
y_height:u32,y_width:u32,
kernel_height:u32,kernel_width:u32,
stride_height:u32,stride_width:u32,
pad_height:i32,pad_width:i32,
dilation_height:u32,dilation_width:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;


const LOWEST=bitcast<i32>(0x807fffffu);


fn sortable(bits:i32)->i32{
return bits ^((bits>>31)&0x7fffffff);
}

fn key(v:f32)->i32{
let bits=bitcast<i32>(v);
let is_nan=(bits&0x7fffffff)>0x7f800000;
return select(sortable(bits),0x7fffffff,is_nan);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let j=index%params.y_width;
let i=index/params.y_width%params.y_height;
let plane=index/(params.y_width*params.y_height);

let top=i32(i*params.stride_height)-params.pad_height;
let left=i32(j*params.stride_width)-params.pad_width;
var largest=LOWEST;
for(var k=0u;k<params.kernel_height;k++){
let row=top+i32(k*params.dilation_height);
if(row<0||row>=i32(params.x_height)){
continue;
}
let x_row=(plane*params.x_height+u32(row))*params.x_width;
for(var l=0u;l<params.kernel_width;l++){
let column=left+i32(l*params.dilation_width);
if(column>=0&&column<i32(params.x_width)){
largest=max(largest,key(f32(x[x_row+u32(column)])));
}
}
}
y[index]=Real(bitcast<f32>(sortable(largest)));
}
`;

export const preprocess = `













alias Real=f32;

const WORKGROUP:u32=8;
const GREY:bool=false;
const WEIGHT_BITS=vec3u(22);
const HALF=vec3i(1<<21);

struct Params{
kept:vec2u,
corner:vec2u,
taps:vec2u,
crop:u32,
start:u32,
mean:vec3f,
deviation:vec3f,
}

@group(0)@binding(0)var x:texture_2d<f32>;
@group(0)@binding(1)var<storage,read>weights:array<i32>;
@group(0)@binding(2)var<storage,read_write>y:array<Real>;
@group(0)@binding(3)var<uniform>params:Params;

fn load(column:i32,row:i32)->vec3i{
let color=vec3i(round(255.0*textureLoad(x,vec2i(column,row),0).rgb));
let luma=(19595*color.r+38470*color.g+7471*color.b+0x8000)>>16;
return select(color,vec3i(luma),GREY);
}

fn mean_of_row(j:u32,row:i32)->vec3i{
let first=weights[j];
let taps=params.taps.x;
var sum=HALF;
for(var k=0u;k<taps;k++){
sum+=weights[params.kept.x+j*taps+k]*load(first+i32(k),row);
}
return sum>>WEIGHT_BITS;
}

fn resized_pixel(i:u32,j:u32)->vec3i{
let rows=params.kept.x*(1+params.taps.x);
let first=weights[rows+i];
let taps=params.taps.y;
var sum=HALF;
for(var k=0u;k<taps;k++){
sum+=weights[rows+params.kept.y+i*taps+k]*mean_of_row(j,first+i32(k));
}
return sum>>WEIGHT_BITS;
}

@compute @workgroup_size(WORKGROUP,WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u){
if(any(gid.xy>=vec2u(params.crop))){
return;
}

let pixel=gid.xy-params.corner;
var p=vec3i();
if(all(pixel<params.kept)){
p=resized_pixel(pixel.y,pixel.x);
}
let normal=(vec3f(p)/255.0-params.mean)/params.deviation;
let plane=params.crop*params.crop;
let index=params.start+gid.y*params.crop+gid.x;
y[index]=Real(normal.r);
if(!GREY){
y[index+plane]=Real(normal.g);
y[index+2*plane]=Real(normal.b);
}
}
`;

export const softmax_rows = `




const WORKGROUP:u32=256;
const LOG:bool=false;
const VALUES=16u;

alias Real=f32;

struct Params{
rows:u32,
size:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read_write>y:array<Real>;
@group(0)@binding(2)var<uniform>params:Params;

var<workgroup>partial:array<f32,WORKGROUP>;
var<workgroup>unfit:atomic<u32>;

const LOWEST=-3.4028234e38f;


fn is_unfit(v:f32)->bool{
let bits=bitcast<u32>(v);
return(bits&0x7fffffffu)>0x7f800000u||bits==0x7f800000u;
}

@compute @workgroup_size(WORKGROUP)
fn main(
@builtin(workgroup_id)wid:vec3u,
@builtin(num_workgroups)groups:vec3u,
@builtin(local_invocation_index)thread:u32,
){
let row=wid.x+wid.y*groups.x;
if(row>=params.rows){
return;
}
var values:array<f32,VALUES>;
var largest=LOWEST;
for(var q=0u;q<VALUES;q++){
let k=thread+q*WORKGROUP;
if(k<params.size){
values[q]=f32(x[row*params.size+k]);
largest=max(largest,values[q]);
if(is_unfit(values[q])){
atomicOr(&unfit,1u);
}
}
}
partial[thread]=largest;
for(var half=WORKGROUP/2;half>0;half/=2){
workgroupBarrier();
if(thread<half){
partial[thread]=max(partial[thread],partial[thread+half]);
}
}
workgroupBarrier();
largest=partial[0];
workgroupBarrier();

var sum=0.0;
for(var q=0u;q<VALUES;q++){
if(thread+q*WORKGROUP<params.size){
sum+=exp(values[q]-largest);
}
}
partial[thread]=sum;
for(var half=WORKGROUP/2;half>0;half/=2){
workgroupBarrier();
if(thread<half){
partial[thread]+=partial[thread+half];
}
}
workgroupBarrier();
sum=partial[0];


let spoilt=atomicLoad(&unfit)==1||sum==0;
let nan=bitcast<f32>(select(0u,0x7fc00000u,spoilt));
for(var q=0u;q<VALUES;q++){
let k=thread+q*WORKGROUP;
if(k<params.size){
let v=values[q]-largest;
y[row*params.size+k]=Real(select(select(exp(v)/sum,v-log(sum),LOG),nan,spoilt));
}
}
}
`;

export const winograd_input_2x2 = `






const WORKGROUP:u32=64;
const UNROLL:bool=false;

alias Real=f32;

struct Params{
count:u32,
side:u32,
tiles:u32,
tiles_height:u32,tiles_width:u32,
x_height:u32,x_width:u32,
channels:u32,
pad_top:i32,pad_left:i32,
}

@group(0)@binding(0)var<storage,read>x:array<vec4<Real>>;
@group(0)@binding(1)var<storage,read_write>y:array<vec4<Real>>;
@group(0)@binding(2)var<uniform>params:Params;


fn transform(d:array<vec4f,4>)->array<vec4f,4>{
return array<vec4f,4>(d[0]-d[2],d[1]+d[2],d[2]-d[1],d[3]-d[1]);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let c=index%params.channels;
let tile=index/params.channels;
let left=i32(tile%params.tiles_width*2)-params.pad_left;
let top=i32(tile/params.tiles_width%params.tiles_height*2)-params.pad_top;
let n=tile/(params.tiles_width*params.tiles_height);


let side=select(params.side,4u,UNROLL);
var columns:array<array<vec4f,4>,4>;
for(var i=0u;i<side;i++){
let column=left+i32(i);
var d:array<vec4f,4>;
for(var j=0u;j<side;j++){
let row=top+i32(j);
let inside=row>=0&&row<i32(params.x_height)&&column>=0&&column<i32(params.x_width);
let position=(n*params.x_height+u32(row))*params.x_width+u32(column);
for(var k=0u;k<3;k++){
d[k]=d[k+1];
}
d[3]=select(vec4f(),vec4f(x[position*params.channels+c]),inside);
}
for(var k=0u;k<3;k++){
columns[k]=columns[k+1];
}
columns[3]=transform(d);
}
var at=index;
for(var i=0u;i<side;i++){
var values=transform(array<vec4f,4>(columns[0][0],columns[1][0],columns[2][0],columns[3][0]));
for(var j=0u;j<side;j++){
y[at]=vec4<Real>(values[0]);
at+=params.tiles*params.channels;
for(var k=0u;k<3;k++){
values[k]=values[k+1];
}
}
for(var k=0u;k<4;k++){
for(var l=0u;l<3;l++){
columns[k][l]=columns[k][l+1];
}
}
}
}
`;

export const winograd_input = `






const WORKGROUP:u32=64;
const UNROLL:bool=false;

alias Real=f32;

struct Params{
count:u32,
side:u32,
tiles:u32,
tiles_height:u32,tiles_width:u32,
x_height:u32,x_width:u32,
channels:u32,
pad_top:i32,pad_left:i32,
}

@group(0)@binding(0)var<storage,read>x:array<vec4<Real>>;
@group(0)@binding(1)var<storage,read_write>y:array<vec4<Real>>;
@group(0)@binding(2)var<uniform>params:Params;

const P=0.7071067811865476;
const Q=1.4142135623730951;


fn transform(d:array<vec4f,6>)->array<vec4f,6>{
let even_p=d[4]-2.0*d[2];
let odd_p=P*(d[3]-2.0*d[1]);
let even_q=d[4]-0.5*d[2];
let odd_q=Q*(d[3]-0.5*d[1]);
return array<vec4f,6>(
d[0]-2.5*d[2]+d[4],
even_p+odd_p,even_p-odd_p,
even_q+odd_q,even_q-odd_q,
d[1]-2.5*d[3]+d[5],
);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let c=index%params.channels;
let tile=index/params.channels;
let left=i32(tile%params.tiles_width*4)-params.pad_left;
let top=i32(tile/params.tiles_width%params.tiles_height*4)-params.pad_top;
let n=tile/(params.tiles_width*params.tiles_height);


let side=select(params.side,6u,UNROLL);
var columns:array<array<vec4f,6>,6>;
for(var i=0u;i<side;i++){
let column=left+i32(i);
var d:array<vec4f,6>;
for(var j=0u;j<side;j++){
let row=top+i32(j);
let inside=row>=0&&row<i32(params.x_height)&&column>=0&&column<i32(params.x_width);
let position=(n*params.x_height+u32(row))*params.x_width+u32(column);
for(var k=0u;k<5;k++){
d[k]=d[k+1];
}
d[5]=select(vec4f(),vec4f(x[position*params.channels+c]),inside);
}
for(var k=0u;k<5;k++){
columns[k]=columns[k+1];
}
columns[5]=transform(d);
}
var at=index;
for(var i=0u;i<side;i++){
var values=transform(array<vec4f,6>(columns[0][0],columns[1][0],columns[2][0],columns[3][0],columns[4][0],columns[5][0]));
for(var j=0u;j<side;j++){
y[at]=vec4<Real>(values[0]);
at+=params.tiles*params.channels;
for(var k=0u;k<5;k++){
values[k]=values[k+1];
}
}
for(var k=0u;k<6;k++){
for(var l=0u;l<5;l++){
columns[k][l]=columns[k][l+1];
}
}
}
}
`;

export const winograd_output_2x2 = `





const WORKGROUP:u32=64;
const UNROLL:bool=false;

alias Real=f32;

struct Params{
count:u32,
side:u32,
tiles:u32,
tiles_height:u32,tiles_width:u32,
y_height:u32,y_width:u32,
channels:u32,
bias:u32,residual:u32,relu:u32,
}

@group(0)@binding(0)var<storage,read>x:array<vec4<Real>>;
@group(0)@binding(1)var<storage,read>b:array<vec4<Real>>;
@group(0)@binding(2)var<storage,read>r:array<vec4<Real>>;
@group(0)@binding(3)var<storage,read_write>y:array<vec4<Real>>;
@group(0)@binding(4)var<uniform>params:Params;


fn relu(v:vec4f)->vec4f{
let bits=bitcast<vec4u>(v);
return select(v,vec4f(),(bits>=vec4u(0x80000000u))&(bits<=vec4u(0xff800000u)));
}


fn transform(m:array<vec4f,4>)->array<vec4f,2>{
return array<vec4f,2>(m[0]+m[1]+m[2],m[1]-m[2]+m[3]);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let c=index%params.channels;
let tile=index/params.channels;
let left=tile%params.tiles_width*2;
let top=tile/params.tiles_width%params.tiles_height*2;
let n=tile/(params.tiles_width*params.tiles_height);


let side=select(params.side,4u,UNROLL);
var columns:array<array<vec4f,2>,4>;
for(var i=0u;i<side;i++){
var m:array<vec4f,4>;
for(var j=0u;j<side;j++){
for(var k=0u;k<3;k++){
m[k]=m[k+1];
}
m[3]=vec4f(x[index+(4*j+i)*params.tiles*params.channels]);
}
for(var k=0u;k<3;k++){
columns[k]=columns[k+1];
}
columns[3]=transform(m);
}
var bias=vec4f();
if(params.bias==1){
bias=vec4f(b[c]);
}
for(var i=0u;i<side-2;i++){
let row=top+i;
var values=transform(array<vec4f,4>(columns[0][0],columns[1][0],columns[2][0],columns[3][0]));
for(var j=0u;j<side-2;j++){
let column=left+j;
if(row<params.y_height&&column<params.y_width){
let out=((n*params.y_height+row)*params.y_width+column)*params.channels+c;
var sum=values[0]+bias;
if(params.residual==1){
sum+=vec4f(r[out]);
}
y[out]=vec4<Real>(select(sum,relu(sum),params.relu==1));
}
for(var k=0u;k<1;k++){
values[k]=values[k+1];
}
}
for(var k=0u;k<4;k++){
for(var l=0u;l<1;l++){
columns[k][l]=columns[k][l+1];
}
}
}
}
`;

export const conv2d = `









const WORKGROUP:u32=64;
const BIAS:bool=true;
const RESIDUAL:bool=false;
const RELU:bool=false;

alias Real=f32;

struct Params{
count:u32,
first:u32,
channels:u32,
x_channels:u32,x_height:u32,x_width:u32,
y_channels:u32,y_height:u32,y_width:u32,
group_in:u32,group_out:u32,
kernel_height:u32,kernel_width:u32,
stride_height:u32,stride_width:u32,
dilation_height:u32,dilation_width:u32,
pad_top:i32,pad_left:i32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read>w:array<Real>;
@group(0)@binding(2)var<storage,read>b:array<Real>;
@group(0)@binding(3)var<storage,read>r:array<Real>;
@group(0)@binding(4)var<storage,read_write>y:array<Real>;
@group(0)@binding(5)var<uniform>params:Params;


fn relu(v:f32)->f32{
let bits=bitcast<u32>(v);
return select(v,0.0,bits>=0x80000000u&&bits<=0xff800000u);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let j=index%params.y_width;
let i=index/params.y_width%params.y_height;
let channel=index/(params.y_width*params.y_height)%params.channels;
let n=index/(params.y_width*params.y_height*params.channels);
let o=params.first+channel;

let x_first=n*params.x_channels+o/params.group_out*params.group_in;
let w_first=channel*params.group_in;
let top=i32(i*params.stride_height)-params.pad_top;
let left=i32(j*params.stride_width)-params.pad_left;
var sum=0.0;
for(var c=0u;c<params.group_in;c++){
for(var k=0u;k<params.kernel_height;k++){
let row=top+i32(k*params.dilation_height);
if(row<0||row>=i32(params.x_height)){
continue;
}
let x_row=((x_first+c)*params.x_height+u32(row))*params.x_width;
let w_row=((w_first+c)*params.kernel_height+k)*params.kernel_width;
for(var l=0u;l<params.kernel_width;l++){
let column=left+i32(l*params.dilation_width);
if(column>=0&&column<i32(params.x_width)){
sum+=f32(x[x_row+u32(column)])*f32(w[w_row+l]);
}
}
}
}
if(BIAS){
sum+=f32(b[o]);
}
let out=((n*params.y_channels+o)*params.y_height+i)*params.y_width+j;
if(RESIDUAL){
sum+=f32(r[out]);
}
y[out]=Real(select(sum,relu(sum),RELU));
}
`;

export const conv2d_depthwise = `








const WORKGROUP:u32=64;
const COLUMNS=4u;

alias Real=f32;

struct Params{
count:u32,
strips:u32,
channels:u32,
x_height:u32,x_width:u32,
y_height:u32,y_width:u32,
kernel_height:u32,kernel_width:u32,
stride_height:u32,stride_width:u32,
dilation_height:u32,dilation_width:u32,
pad_top:i32,pad_left:i32,
bias:u32,residual:u32,relu:u32,
}

@group(0)@binding(0)var<storage,read>x:array<vec4<Real>>;
@group(0)@binding(1)var<storage,read>w:array<vec4<Real>>;
@group(0)@binding(2)var<storage,read>b:array<vec4<Real>>;
@group(0)@binding(3)var<storage,read>r:array<vec4<Real>>;
@group(0)@binding(4)var<storage,read_write>y:array<vec4<Real>>;
@group(0)@binding(5)var<uniform>params:Params;


fn relu(v:vec4f)->vec4f{
let bits=bitcast<vec4u>(v);
return select(v,vec4f(),(bits>=vec4u(0x80000000u))&(bits<=vec4u(0xff800000u)));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let c=index%params.channels;
let strip=index/params.channels%params.strips;
let i=index/params.channels/params.strips%params.y_height;
let n=index/params.channels/params.strips/params.y_height;
let first=strip*COLUMNS;
let top=i32(i*params.stride_height)-params.pad_top;
let left=i32(first*params.stride_width)-params.pad_left;

var sums:array<vec4f,COLUMNS>;
for(var k=0u;k<params.kernel_height;k++){
let row=top+i32(k*params.dilation_height);
if(row<0||row>=i32(params.x_height)){
continue;
}
let x_row=(n*params.x_height+u32(row))*params.x_width;
for(var l=0u;l<params.kernel_width;l++){
let weight=vec4f(w[(k*params.kernel_width+l)*params.channels+c]);
for(var p=0u;p<COLUMNS;p++){
let column=u32(left+i32(p*params.stride_width+l*params.dilation_width));
let inside=column<params.x_width;
let value=vec4f(x[select(0u,(x_row+column)*params.channels+c,inside)]);
sums[p]+=select(vec4f(),value*weight,inside);
}
}
}

for(var p=0u;p<COLUMNS;p++){
if(first+p>=params.y_width){
continue;
}
let out=((n*params.y_height+i)*params.y_width+first+p)*params.channels+c;
var sum=sums[p];
if(params.bias==1){
sum+=vec4f(b[c]);
}
if(params.residual==1){
sum+=vec4f(r[out]);
}
y[out]=vec4<Real>(select(sum,relu(sum),params.relu==1));
}
}
`;

export const pool2d_nhwc = `







const WORKGROUP:u32=64;

alias Real=f32;

struct Params{
count:u32,
x_height:u32,x_width:u32,
y_height:u32,y_width:u32,
channels:u32,
kernel_height:u32,kernel_width:u32,
stride_height:u32,stride_width:u32,
pad_height:i32,pad_width:i32,
dilation_height:u32,dilation_width:u32,
mean:u32,
divisor:u32,
count_include_pad:u32,
}

@group(0)@binding(0)var<storage,read>x:array<vec4<Real>>;
@group(0)@binding(1)var<storage,read_write>y:array<vec4<Real>>;
@group(0)@binding(2)var<uniform>params:Params;


const LOWEST=bitcast<i32>(0x807fffffu);


fn sortable(bits:vec4i)->vec4i{
return bits ^((bits>>vec4u(31))&vec4i(0x7fffffff));
}

fn key(v:vec4f)->vec4i{
let bits=bitcast<vec4i>(v);
let is_nan=(bits&vec4i(0x7fffffff))>vec4i(0x7f800000);
return select(sortable(bits),vec4i(0x7fffffff),is_nan);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let c=index%params.channels;
let pixel=index/params.channels;
let j=pixel%params.y_width;
let i=pixel/params.y_width%params.y_height;
let n=pixel/(params.y_width*params.y_height);

let size=vec2i(i32(params.x_height),i32(params.x_width));
let pad=vec2i(params.pad_height,params.pad_width);
let start=vec2i(i32(i*params.stride_height),i32(j*params.stride_width))-pad;
var largest=vec4i(LOWEST);
var sum=vec4f();
for(var k=0u;k<params.kernel_height;k++){
let row=start.x+i32(k*params.dilation_height);
if(row<0||row>=size.x){
continue;
}
let x_row=(n*params.x_height+u32(row))*params.x_width;

var row_sum=vec4f();
for(var l=0u;l<params.kernel_width;l++){
let column=start.y+i32(l*params.dilation_width);
if(column>=0&&column<size.y){
let value=vec4f(x[(x_row+u32(column))*params.channels+c]);
largest=max(largest,key(value));
row_sum+=value;
}
}
sum+=row_sum;
}
if(params.mean==0){
y[index]=vec4<Real>(bitcast<vec4f>(sortable(largest)));
return;
}
let padded_end=min(start+vec2i(i32(params.kernel_height),i32(params.kernel_width)),size+pad);
let window=select(min(padded_end,size)-max(start,vec2i(0)),padded_end-start,params.count_include_pad==1);
let divisor=select(u32(window.x*window.y),params.divisor,params.divisor>0);
y[index]=vec4<Real>(sum/f32(divisor));
}
`;

export const winograd_output = `





const WORKGROUP:u32=64;
const UNROLL:bool=false;

alias Real=f32;

struct Params{
count:u32,
side:u32,
tiles:u32,
tiles_height:u32,tiles_width:u32,
y_height:u32,y_width:u32,
channels:u32,
bias:u32,residual:u32,relu:u32,
}

@group(0)@binding(0)var<storage,read>x:array<vec4<Real>>;
@group(0)@binding(1)var<storage,read>b:array<vec4<Real>>;
@group(0)@binding(2)var<storage,read>r:array<vec4<Real>>;
@group(0)@binding(3)var<storage,read_write>y:array<vec4<Real>>;
@group(0)@binding(4)var<uniform>params:Params;


fn relu(v:vec4f)->vec4f{
let bits=bitcast<vec4u>(v);
return select(v,vec4f(),(bits>=vec4u(0x80000000u))&(bits<=vec4u(0xff800000u)));
}

const P=0.7071067811865476;
const Q=1.4142135623730951;


fn transform(m:array<vec4f,6>)->array<vec4f,4>{
let even_p=m[1]+m[2];
let odd_p=P*(m[1]-m[2]);
let even_q=m[3]+m[4];
let odd_q=Q*(m[3]-m[4]);
return array<vec4f,4>(
m[0]+even_p+even_q,
odd_p+odd_q,
0.5*even_p+2.0*even_q,
0.5*odd_p+2.0*odd_q+m[5],
);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id)gid:vec3u,@builtin(num_workgroups)groups:vec3u){
let index=gid.x+gid.y*groups.x*WORKGROUP;
if(index>=params.count){
return;
}
let c=index%params.channels;
let tile=index/params.channels;
let left=tile%params.tiles_width*4;
let top=tile/params.tiles_width%params.tiles_height*4;
let n=tile/(params.tiles_width*params.tiles_height);


let side=select(params.side,6u,UNROLL);
var columns:array<array<vec4f,4>,6>;
for(var i=0u;i<side;i++){
var m:array<vec4f,6>;
for(var j=0u;j<side;j++){
for(var k=0u;k<5;k++){
m[k]=m[k+1];
}
m[5]=vec4f(x[index+(6*j+i)*params.tiles*params.channels]);
}
for(var k=0u;k<5;k++){
columns[k]=columns[k+1];
}
columns[5]=transform(m);
}
var bias=vec4f();
if(params.bias==1){
bias=vec4f(b[c]);
}
for(var i=0u;i<side-2;i++){
let row=top+i;
var values=transform(array<vec4f,6>(columns[0][0],columns[1][0],columns[2][0],columns[3][0],columns[4][0],columns[5][0]));
for(var j=0u;j<side-2;j++){
let column=left+j;
if(row<params.y_height&&column<params.y_width){
let out=((n*params.y_height+row)*params.y_width+column)*params.channels+c;
var sum=values[0]+bias;
if(params.residual==1){
sum+=vec4f(r[out]);
}
y[out]=vec4<Real>(select(sum,relu(sum),params.relu==1));
}
for(var k=0u;k<3;k++){
values[k]=values[k+1];
}
}
for(var k=0u;k<6;k++){
for(var l=0u;l<3;l++){
columns[k][l]=columns[k][l+1];
}
}
}
}
`;

export const conv2d_stem = `enable subgroups;







const SUBGROUP:u32=8;
const PIXELS:u32=4;
const CHANNELS:u32=8;


const LOADS=(CHANNELS+SUBGROUP-1)/SUBGROUP;

alias Real=f32;

struct Params{
pixels:u32,
x_channels:u32,x_height:u32,x_width:u32,
y_height:u32,y_width:u32,y_channels:u32,
kernel_height:u32,kernel_width:u32,
stride_height:u32,stride_width:u32,
dilation_height:u32,dilation_width:u32,
pad_top:u32,pad_left:u32,
taps:u32,
bias:u32,residual:u32,relu:u32,
}

@group(0)@binding(0)var<storage,read>x:array<Real>;
@group(0)@binding(1)var<storage,read>w:array<vec4<Real>>;
@group(0)@binding(2)var<storage,read>b:array<vec4<Real>>;
@group(0)@binding(3)var<storage,read>r:array<vec4<Real>>;
@group(0)@binding(4)var<storage,read_write>y:array<vec4<Real>>;
@group(0)@binding(5)var<uniform>params:Params;


fn relu(v:vec4f)->vec4f{
let bits=bitcast<vec4u>(v);
return select(v,vec4f(),(bits>=vec4u(0x80000000u))&(bits<=vec4u(0xff800000u)));
}



var<private>sums:array<array<vec4f,CHANNELS>,PIXELS>;
var<private>inputs:array<vec4f,PIXELS>;
var<private>loaded:array<mat4x4f,LOADS>;



var<private>start:array<u32,PIXELS>;
var<private>top:array<u32,PIXELS>;
var<private>left:array<u32,PIXELS>;


var<private>channel:u32;
var<private>row:u32;
var<private>column:u32;


fn load(){
let down=row*params.dilation_height;
let right=column*params.dilation_width;
let offset=(channel*params.x_height+down)*params.x_width+right;
for(var p=0u;p<PIXELS;p++){
let inside=channel<params.x_channels&&top[p]+down<params.x_height&&left[p]+right<params.x_width;
inputs[p]=vec4f(inputs[p].yzw,select(0.0,f32(x[select(0u,start[p]+offset,inside)]),inside));
}
column++;
row+=u32(column==params.kernel_width);
column=select(column,0u,column==params.kernel_width);
channel+=u32(row==params.kernel_height);
row=select(row,0u,row==params.kernel_height);
}


fn multiply(q:u32){
let own=loaded[q/SUBGROUP];
let source=q%SUBGROUP;
let weights=mat4x4f(
subgroupShuffle(own[0],source),subgroupShuffle(own[1],source),
subgroupShuffle(own[2],source),subgroupShuffle(own[3],source),
);
for(var p=0u;p<PIXELS;p++){
sums[p][q]+=weights*inputs[p];
}
}

@compute @workgroup_size(SUBGROUP)
fn main(
@builtin(workgroup_id)wid:vec3u,
@builtin(num_workgroups)groups:vec3u,
@builtin(subgroup_invocation_id)lane:u32,
){
let first_pixel=(wid.x+wid.y*groups.x)*SUBGROUP*PIXELS+lane;
let first_channel=wid.z*CHANNELS;
for(var p=0u;p<PIXELS;p++){
let pixel=first_pixel+p*SUBGROUP;
let image=pixel/(params.y_height*params.y_width);
top[p]=pixel/params.y_width%params.y_height*params.stride_height-params.pad_top;
left[p]=pixel%params.y_width*params.stride_width-params.pad_left;
start[p]=(image*params.x_channels*params.x_height+top[p])*params.x_width+left[p];
}

let width=select(params.y_channels%CHANNELS,CHANNELS,first_channel+CHANNELS<=params.y_channels);
var w_first=first_channel*params.taps+4*lane;
for(var tap=0u;tap<params.taps;tap+=4){
load();
load();
load();
load();

for(var at=w_first;at<w_first+4;at+=2){
for(var i=0u;i<LOADS;i++){
let rows=loaded[i];
let next=at+4*i*SUBGROUP;
loaded[i]=mat4x4f(rows[2],rows[3],vec4f(w[next]),vec4f(w[next+1]));
}
}
w_first+=4*width;

multiply(0);
multiply(1);
multiply(2);
multiply(3);
multiply(4);
multiply(5);
multiply(6);
multiply(7);
}



for(var c=first_channel;c<first_channel+width;c++){
var bias=vec4f();
if(params.bias==1){
bias=vec4f(b[c]);
}
for(var pixel=first_pixel;pixel<first_pixel+PIXELS*SUBGROUP;pixel+=SUBGROUP){
if(pixel<params.pixels){
let out=pixel*params.y_channels+c;
var sum=sums[0][0]+bias;
if(params.residual==1){
sum+=vec4f(r[out]);
}
y[out]=vec4<Real>(select(sum,relu(sum),params.relu==1));
}
for(var p=0u;p<PIXELS-1;p++){
sums[p][0]=sums[p+1][0];
}
}
for(var p=0u;p<PIXELS;p++){
for(var q=0u;q<CHANNELS-1;q++){
sums[p][q]=sums[p][q+1];
}
}
}
}
`;

export const conv2d_subgroup = `enable subgroups;













const SUBGROUP:u32=8;
const PIXELS:u32=4;
const CHANNELS:u32=8;


const LOADS=(CHANNELS+SUBGROUP-1)/SUBGROUP;


const OUTSIDE=-0x40000000i;

alias Real=f32;

struct Params{
pixels:u32,
x_height:u32,x_width:u32,x_channels:u32,
y_height:u32,y_width:u32,y_channels:u32,
kernel_height:u32,kernel_width:u32,
stride_height:u32,stride_width:u32,
dilation_height:u32,dilation_width:u32,
pad_top:i32,pad_left:i32,
channel_tiles:u32,
x_stride:u32,w_stride:u32,y_stride:u32,
bias:u32,residual:u32,relu:u32,
}

@group(0)@binding(0)var<storage,read>x:array<vec4<Real>>;
@group(0)@binding(1)var<storage,read>w:array<vec4<Real>>;
@group(0)@binding(2)var<storage,read>b:array<vec4<Real>>;
@group(0)@binding(3)var<storage,read>r:array<vec4<Real>>;
@group(0)@binding(4)var<storage,read_write>y:array<vec4<Real>>;
@group(0)@binding(5)var<uniform>params:Params;


fn relu(v:vec4f)->vec4f{
let bits=bitcast<vec4u>(v);
return select(v,vec4f(),(bits>=vec4u(0x80000000u))&(bits<=vec4u(0xff800000u)));
}



var<private>sums:array<array<vec4f,CHANNELS>,PIXELS>;
var<private>inputs:array<vec4f,PIXELS>;
var<private>loaded:array<mat4x4f,LOADS>;


fn multiply(q:u32){
let own=loaded[q/SUBGROUP];
let source=q%SUBGROUP;
let weights=mat4x4f(
subgroupShuffle(own[0],source),subgroupShuffle(own[1],source),
subgroupShuffle(own[2],source),subgroupShuffle(own[3],source),
);
for(var p=0u;p<PIXELS;p++){
sums[p][q]+=weights*inputs[p];
}
}

@compute @workgroup_size(SUBGROUP)
fn main(
@builtin(workgroup_id)wid:vec3u,
@builtin(num_workgroups)groups:vec3u,
@builtin(subgroup_invocation_id)lane:u32,
){
let first_pixel=(wid.x+wid.y*groups.x)*SUBGROUP*PIXELS+lane;
let first_channel=wid.z%params.channel_tiles*CHANNELS;
let product=wid.z/params.channel_tiles;
var image:array<u32,PIXELS>;
var top:array<i32,PIXELS>;
var left:array<i32,PIXELS>;
for(var p=0u;p<PIXELS;p++){
let pixel=first_pixel+p*SUBGROUP;
image[p]=pixel/(params.y_height*params.y_width);
top[p]=i32(pixel/params.y_width%params.y_height*params.stride_height)-params.pad_top;
left[p]=i32(pixel%params.y_width*params.stride_width)-params.pad_left;
}


let columns=select(params.kernel_width,1u,params.dilation_width==1);
let run=params.kernel_width/columns*params.x_channels;
let row_length=params.x_width*params.x_channels;
let width=select(params.y_channels%CHANNELS,CHANNELS,first_channel+CHANNELS<=params.y_channels);
let terms=4*params.kernel_height*params.kernel_width*params.x_channels;
var w_first=product*params.w_stride+first_channel*terms+4*lane;
for(var k=0u;k<params.kernel_height;k++){
for(var l=0u;l<columns;l++){
var x_row:array<u32,PIXELS>;
var start:array<i32,PIXELS>;
for(var p=0u;p<PIXELS;p++){
let row=top[p]+i32(k*params.dilation_height);
let exists=row>=0&&row<i32(params.x_height);
x_row[p]=product*params.x_stride+(image[p]*params.x_height+u32(row))*row_length;
start[p]=select(OUTSIDE,(left[p]+i32(l*params.dilation_width))*i32(params.x_channels),exists);
}
for(var c=0u;c<run;c++){
for(var p=0u;p<PIXELS;p++){
let at=u32(start[p]+i32(c));
let inside=at<row_length;
inputs[p]=select(vec4f(),vec4f(x[select(0u,x_row[p]+at,inside)]),inside);
}
if(PIXELS>2){

for(var at=w_first;at<w_first+4;at+=2){
for(var load=0u;load<LOADS;load++){
let rows=loaded[load];
let next=at+4*load*SUBGROUP;
loaded[load]=mat4x4f(rows[2],rows[3],vec4f(w[next]),vec4f(w[next+1]));
}
}
}else{
for(var load=0u;load<LOADS;load++){
let at=w_first+4*load*SUBGROUP;
loaded[load]=mat4x4f(vec4f(w[at]),vec4f(w[at+1]),vec4f(w[at+2]),vec4f(w[at+3]));
}
}
w_first+=4*width;

multiply(0);
multiply(1);
multiply(2);
multiply(3);
multiply(4);
multiply(5);
multiply(6);
multiply(7);
}
}
}



for(var channel=first_channel;channel<first_channel+width;channel++){
var bias=vec4f();
if(params.bias==1){
bias=vec4f(b[channel]);
}
for(var pixel=first_pixel;pixel<first_pixel+PIXELS*SUBGROUP;pixel+=SUBGROUP){
if(pixel<params.pixels){
let out=product*params.y_stride+pixel*params.y_channels+channel;
var sum=sums[0][0]+bias;
if(params.residual==1){
sum+=vec4f(r[out]);
}
y[out]=vec4<Real>(select(sum,relu(sum),params.relu==1));
}
for(var p=0u;p<PIXELS-1;p++){
sums[p][0]=sums[p+1][0];
}
}
for(var p=0u;p<PIXELS;p++){
for(var q=0u;q<CHANNELS-1;q++){
sums[p][q]=sums[p][q+1];
}
}
}
}
`;

export const conv2d_tile = `














const SIDE:u32=8;
const EACH:u32=2;

const THREADS=SIDE*SIDE;
const ROWS=4*EACH;
const PIXELS=ROWS*SIDE;
const CHANNELS=EACH*SIDE;
const DEPTH=4u;
const LOADS=PIXELS*DEPTH/THREADS;

alias Real=f32;

struct Params{
pixels:u32,
x_height:u32,x_width:u32,x_channels:u32,
y_height:u32,y_width:u32,y_channels:u32,
kernel_height:u32,kernel_width:u32,
stride_height:u32,stride_width:u32,
dilation_height:u32,dilation_width:u32,
pad_top:i32,pad_left:i32,
channel_tiles:u32,
splits:u32,
x_stride:u32,w_stride:u32,y_stride:u32,
bias:u32,residual:u32,relu:u32,
}

@group(0)@binding(0)var<storage,read>x:array<vec4<Real>>;
@group(0)@binding(1)var<storage,read>w:array<vec4<Real>>;
@group(0)@binding(2)var<storage,read>b:array<vec4<Real>>;
@group(0)@binding(3)var<storage,read>r:array<vec4<Real>>;
@group(0)@binding(4)var<storage,read_write>y:array<vec4<Real>>;
@group(0)@binding(5)var<uniform>params:Params;


var<workgroup>inputs:array<array<vec4f,PIXELS>,DEPTH>;
var<workgroup>weights:array<array<vec4f,CHANNELS>,DEPTH*4>;


fn relu(v:vec4f)->vec4f{
let bits=bitcast<vec4u>(v);
return select(v,vec4f(),(bits>=vec4u(0x80000000u))&(bits<=vec4u(0xff800000u)));
}

@compute @workgroup_size(SIDE,SIDE)
fn main(
@builtin(workgroup_id)wid:vec3u,
@builtin(num_workgroups)groups:vec3u,
@builtin(local_invocation_id)lid:vec3u,
@builtin(local_invocation_index)thread:u32,
){
let first_pixel=(wid.x+wid.y*groups.x)*PIXELS;
let first_channel=wid.z%params.channel_tiles*CHANNELS;
let part=wid.z/params.channel_tiles;
let product=part/params.splits;



let d=thread%DEPTH;
var image:array<u32,LOADS>;
var top:array<i32,LOADS>;
var left:array<i32,LOADS>;
for(var p=0u;p<LOADS;p++){
let pixel=first_pixel+(thread+p*THREADS)/DEPTH;
image[p]=pixel/(params.y_height*params.y_width);
top[p]=i32(pixel/params.y_width%params.y_height*params.stride_height)-params.pad_top;
left[p]=i32(pixel%params.y_width*params.stride_width)-params.pad_left;
}
let column=thread%CHANNELS;
let channel=first_channel+column;


let columns=select(params.kernel_width,1u,params.dilation_width==1);
let run=params.kernel_width/columns*params.x_channels;
let steps_of_run=(run+DEPTH-1)/DEPTH;
let steps=params.kernel_height*columns*steps_of_run;
let row_length=params.x_width*params.x_channels;
let first_step=part%params.splits*steps/params.splits;
let end_step=(part%params.splits+1)*steps/params.splits;

var sums:array<array<vec4f,EACH>,ROWS>;
var tap=first_step/steps_of_run;
var c=first_step%steps_of_run*DEPTH;

for(var step=first_step;step<=end_step;step++){
var next_x:array<vec4<Real>,LOADS>;
var next_w:array<vec4<Real>,LOADS>;
if(step<end_step){
for(var p=0u;p<LOADS;p++){
let row=top[p]+i32(tap/columns*params.dilation_height);
let x_row=product*params.x_stride+(image[p]*params.x_height+u32(row))*row_length;
let start=(left[p]+i32(tap%columns*params.dilation_width))*i32(params.x_channels);
let at=u32(start+i32(c+d));
let inside=row>=0&&row<i32(params.x_height)&&at<row_length&&c+d<run;
next_x[p]=select(vec4<Real>(),x[x_row+at],inside);

let depth=c*4+(thread+p*THREADS)/CHANNELS;
let exists=depth<run*4&&channel<params.y_channels;
let at_w=product*params.w_stride+(tap*run*4+depth)*params.y_channels+channel;
next_w[p]=select(vec4<Real>(),w[at_w],exists);
}
c+=DEPTH;
if(c>=run){
c=0;
tap++;
}
}
if(step>first_step){
for(var d=0u;d<DEPTH;d++){
var v:array<vec4f,ROWS>;
for(var p=0u;p<ROWS;p++){
v[p]=inputs[d][(lid.y ^(2*d))+p*SIDE];
}
for(var q=0u;q<EACH;q++){
let i=lid.x+q*SIDE;
let w0=weights[d*4][i];
let w1=weights[d*4+1][i];
let w2=weights[d*4+2][i];
let w3=weights[d*4+3][i];
for(var p=0u;p<ROWS;p++){
sums[p][q]+=v[p].x*w0;
sums[p][q]+=v[p].y*w1;
sums[p][q]+=v[p].z*w2;
sums[p][q]+=v[p].w*w3;
}
}
}
}
workgroupBarrier();
for(var p=0u;p<LOADS;p++){
inputs[d][((thread+p*THREADS)/DEPTH)^(2*d)]=vec4f(next_x[p]);
weights[(thread+p*THREADS)/CHANNELS][column]=vec4f(next_w[p]);
}
workgroupBarrier();
}

for(var p=0u;p<ROWS;p++){
let pixel=first_pixel+lid.y+p*SIDE;
for(var q=0u;q<EACH;q++){
let c=first_channel+lid.x+q*SIDE;
if(pixel<params.pixels&&c<params.y_channels){
var sum=sums[p][q];
let out=pixel*params.y_channels+c;
if(params.bias==1){
sum+=vec4f(b[c]);
}
if(params.residual==1){
sum+=vec4f(r[out]);
}
y[part*params.y_stride+out]=vec4<Real>(select(sum,relu(sum),params.relu==1));
}
}
}
}
`;

export const conv2d_matrix = `enable f16;
enable chromium_experimental_subgroup_matrix;













diagnostic(off,chromium.subgroup_matrix_uniformity);

const SUBGROUP:u32=32;
const PIXELS:u32=64;

const THREADS=4*SUBGROUP;
const CHANNELS=PIXELS/4;
const DEPTH=4u;
const LOADS=PIXELS*DEPTH/THREADS;

const SIDE=16u;
const MATRICES=PIXELS/32;


const X_ROW=SIDE+8;
const W_ROW=PIXELS+8;

alias Real=f16;

struct Params{
pixels:u32,
x_height:u32,x_width:u32,x_channels:u32,
y_height:u32,y_width:u32,y_channels:u32,
kernel_height:u32,kernel_width:u32,
stride_height:u32,stride_width:u32,
dilation_height:u32,dilation_width:u32,
pad_top:i32,pad_left:i32,
channel_tiles:u32,
splits:u32,
x_stride:u32,w_stride:u32,y_stride:u32,
bias:u32,residual:u32,relu:u32,
}

@group(0)@binding(0)var<storage,read>x:array<vec4<Real>>;
@group(0)@binding(1)var<storage,read>w:array<vec4<Real>>;
@group(0)@binding(2)var<storage,read>b:array<vec4<Real>>;
@group(0)@binding(3)var<storage,read>r:array<vec4<Real>>;
@group(0)@binding(4)var<storage,read_write>y:array<vec4<Real>>;
@group(0)@binding(5)var<uniform>params:Params;

var<workgroup>inputs:array<f16,PIXELS*X_ROW>;
var<workgroup>weights:array<f16,SIDE*W_ROW>;
var<workgroup>results:array<f32,4*SIDE*SIDE>;

alias Left=subgroup_matrix_left<f16,SIDE,SIDE>;
alias Right=subgroup_matrix_right<f16,SIDE,SIDE>;
alias Result=subgroup_matrix_result<f32,SIDE,SIDE>;


fn relu(v:vec4f)->vec4f{
let bits=bitcast<vec4u>(v);
return select(v,vec4f(),(bits>=vec4u(0x80000000u))&(bits<=vec4u(0xff800000u)));
}

@compute @workgroup_size(4*SUBGROUP)
fn main(
@builtin(workgroup_id)wid:vec3u,
@builtin(num_workgroups)groups:vec3u,
@builtin(local_invocation_index)thread:u32,
){
let first_pixel=(wid.x+wid.y*groups.x)*PIXELS;
let first_channel=wid.z%params.channel_tiles*CHANNELS;
let part=wid.z/params.channel_tiles;
let product=part/params.splits;
let subgroup=thread/SUBGROUP;
let lane=thread%SUBGROUP;
let quarter=vec2u(subgroup/2,subgroup%2)*(PIXELS/2);



let d=thread%DEPTH;
var image:array<u32,LOADS>;
var top:array<i32,LOADS>;
var left:array<i32,LOADS>;
for(var p=0u;p<LOADS;p++){
let pixel=first_pixel+(thread+p*THREADS)/DEPTH;
image[p]=pixel/(params.y_height*params.y_width);
top[p]=i32(pixel/params.y_width%params.y_height*params.stride_height)-params.pad_top;
left[p]=i32(pixel%params.y_width*params.stride_width)-params.pad_left;
}
let column=thread%CHANNELS;
let channel=first_channel+column;


let columns=select(params.kernel_width,1u,params.dilation_width==1);
let run=params.kernel_width/columns*params.x_channels;
let steps_of_run=(run+DEPTH-1)/DEPTH;
let steps=params.kernel_height*columns*steps_of_run;
let row_length=params.x_width*params.x_channels;
let first_step=part%params.splits*steps/params.splits;
let end_step=(part%params.splits+1)*steps/params.splits;

var sums:array<Result,MATRICES*MATRICES>;
var tap=first_step/steps_of_run;
var c=first_step%steps_of_run*DEPTH;

for(var step=first_step;step<=end_step;step++){
var next_x:array<vec4<Real>,LOADS>;
var next_w:array<vec4<Real>,LOADS>;
if(step<end_step){
for(var p=0u;p<LOADS;p++){
let row=top[p]+i32(tap/columns*params.dilation_height);
let x_row=product*params.x_stride+(image[p]*params.x_height+u32(row))*row_length;
let start=(left[p]+i32(tap%columns*params.dilation_width))*i32(params.x_channels);
let at=u32(start+i32(c+d));
let inside=row>=0&&row<i32(params.x_height)&&at<row_length&&c+d<run;
next_x[p]=select(vec4<Real>(),x[x_row+at],inside);

let depth=c*4+(thread+p*THREADS)/CHANNELS;
let exists=depth<run*4&&channel<params.y_channels;
let at_w=product*params.w_stride+(tap*run*4+depth)*params.y_channels+channel;
next_w[p]=select(vec4<Real>(),w[at_w],exists);
}
c+=DEPTH;
if(c>=run){
c=0;
tap++;
}
}
if(step>first_step){
var lefts:array<Left,MATRICES>;
var rights:array<Right,MATRICES>;
for(var p=0u;p<MATRICES;p++){
lefts[p]=subgroupMatrixLoad<Left,row_major>(&inputs,(quarter.x+p*SIDE)*X_ROW,X_ROW);
rights[p]=subgroupMatrixLoad<Right,row_major>(&weights,quarter.y+p*SIDE,W_ROW);
}
for(var m=0u;m<MATRICES*MATRICES;m++){
sums[m]=subgroupMatrixMultiplyAccumulate(lefts[m/MATRICES],rights[m%MATRICES],sums[m]);
}
}
workgroupBarrier();
for(var p=0u;p<LOADS;p++){
let x_at=(thread+p*THREADS)/DEPTH*X_ROW+d*4;
let w_at=(thread+p*THREADS)/CHANNELS*W_ROW+column*4;
for(var e=0u;e<4;e++){
inputs[x_at+e]=next_x[p][e];
weights[w_at+e]=next_w[p][e];
}
}
workgroupBarrier();
}



let own=subgroup*SIDE*SIDE;
for(var m=0u;m<MATRICES*MATRICES;m++){
subgroupMatrixStore<row_major>(&results,own,sums[0],SIDE);
for(var p=0u;p<MATRICES*MATRICES-1;p++){
sums[p]=sums[p+1];
}
workgroupBarrier();
for(var k=lane;k<SIDE*SIDE/4;k+=SUBGROUP){
let pixel=first_pixel+quarter.x+m/MATRICES*SIDE+k/4;
let c=first_channel+(quarter.y+m%MATRICES*SIDE)/4+k%4;
if(pixel<params.pixels&&c<params.y_channels){
let i=own+k*4;
var sum=vec4f(results[i],results[i+1],results[i+2],results[i+3]);
let out=pixel*params.y_channels+c;
if(params.bias==1){
sum+=vec4f(b[c]);
}
if(params.residual==1){
sum+=vec4f(r[out]);
}
y[part*params.y_stride+out]=vec4<Real>(select(sum,relu(sum),params.relu==1));
}
}
workgroupBarrier();
}
}
`;
