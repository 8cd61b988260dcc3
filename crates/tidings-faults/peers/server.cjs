// A web server as a worker of recluster, as its README has it.
'use strict'

require('http')
  .createServer((_, answer) => answer.end(`Hello from process ${process.pid}.\n`))
  .listen(0, '127.0.0.1')
