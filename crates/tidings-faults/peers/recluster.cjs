// Four workers under recluster. Each line read means a reload; each line written says what happened.
'use strict'

const cluster = require('cluster')
const path = require('path')
const recluster = require('recluster')

const fleet = recluster(path.join(__dirname, 'server.cjs'), {
  workers: 4,
  timeout: 1,
  log: { respawns: false },
})
cluster.on('listening', (_, { port }) => console.log(`listening ${port}`))
cluster.on('exit', () => console.log('gone'))
fleet.run()

const orders = require('readline').createInterface({ input: process.stdin })
orders.on('line', () => fleet.reload(() => console.log('reloaded')))
orders.on('close', () => fleet.terminate(() => process.exit()))
